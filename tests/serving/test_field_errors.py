"""Paths and messages of the errors of fields."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from convmodel.serving.field_errors import first_problem


class Part(BaseModel):
    text: str


class Body(BaseModel):
    text: Annotated[str, StringConstraints(min_length=1)] | list[Part] | None = None
    texts: list[str | int] = Field(default=[], max_length=3)
    meta: dict[str, str | list[str]] = {}


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"text": 5}, "text", "Input should be a valid string or a valid list"),
        ({"text": ""}, "text", "String should have at least 1 character"),
        ({"text": [{"text": "a"}, {"text": 5}]}, "text[1].text", "Input should be a valid string"),
        ({"text": [{}]}, "text[0].text", "Field required"),
        ({"text": {}}, "text", "Input should be a valid string or a valid list"),
        ({"texts": ["a", []]}, "texts[1]", "Input should be a valid string or a valid integer"),
        ({"texts": [1, 2, 3, 4]}, "texts", "List should have at most 3 items, not 4"),
        ({"meta": {"str": 5.5}}, "meta.str", "Input should be a valid string or a valid list"),
        ([], "", "Input should be an object"),
        ({"meta": 5}, "meta", "Input should be an object"),
    ],
)
def test_the_path_is_that_of_the_request_also_where_a_field_may_be_of_several_types(
    body: Any, path: str, message: str
) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Body).validate_python(body, strict=True)
    problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.value.errors()]
    problem = first_problem(problems, body)
    assert problem.path == path and problem.message.startswith(message)


def test_parts_of_a_request_beside_its_body_are_named_as_they_are() -> None:
    problem = first_problem([{"loc": ("query", "limit"), "msg": "a", "type": "int_parsing"}], None)
    assert (problem.path, problem.message, problem.unsupported) == ("limit", "a", False)
