"""Fields of requests that change nothing: their paths, and the header that names them."""

from pydantic import Field

from convmodel.serving.ignored_fields import IGNORED, Ignorable, LenientModel, header_value, ignored_fields


class Item(LenientModel):
    text: str
    name: Ignorable[None] = None


class Body(LenientModel):
    items: list[Item] = Field(default_factory=list)
    inner: Item | None = None
    switch: Ignorable[bool] = None


def test_unknown_fields_and_declared_ones_with_an_effect_are_ignored_at_every_level() -> None:
    items = [{"text": "a"}, {"text": "b", "name": "Ann", "id": 1}, {"text": "c", "name": "Bo", "id": 2}]
    body = Body.model_validate({"items": items, "inner": {"text": "a", "x": None}, "switch": "on", "more": 1})
    assert body.switch is IGNORED and not IGNORED
    assert list(ignored_fields(body)) == ["more", "items[1].id", "items[1].name", "inner.x", "switch"]


def test_values_that_ask_for_nothing_are_not_reported() -> None:
    body = Body.model_validate({"items": [{"text": "a", "name": None}], "switch": True})
    assert list(ignored_fields(body)) == [] and body.switch is True


def test_the_header_is_printable_and_of_bounded_length() -> None:
    assert header_value(["a\r\nb: 1", "ä,b", "messages[0].name"]) == "a??b: 1, ??b, messages[0].name"
    value = header_value(["x" * 1000] * 1000)
    assert len(value) < 3000 and value.endswith(", (970 more)")
