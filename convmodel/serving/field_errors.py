"""Errors of request fields: the request's own path of the field, also where a field may be one of several types."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNSUPPORTED = ("extra_forbidden", "unsupported_parameter")
"""Types of problems with fields that this server does not support."""

OUTSIDE = ("query", "path", "header", "cookie")
"""The parts of a request, beside its body, by which the location of a problem can begin."""


EXPECTED = "Input should be "
"""The beginning of pydantic's messages about values."""

MESSAGES = {
    "extra_forbidden": "there is no such field here, or it is not supported",
    "model_attributes_type": f"{EXPECTED}an object",
    "model_type": f"{EXPECTED}an object",
    "dict_type": f"{EXPECTED}an object",
}
"""Messages in place of pydantic's, by their types."""


class FieldProblem(NamedTuple):
    """A problem that pydantic reported.

    Args:
        path: the path in the request, such as `messages[0].content`.
        depth: the number of steps of the path.
        choice: the location of the field that may be one of several types, if the problem is of one of them.
        type, message: pydantic's.
    """

    path: str
    depth: int
    choice: tuple[Any, ...] | None
    type: str
    message: str

    @property
    def unsupported(self) -> bool:
        """Whether the server does not support the field."""
        return self.type in UNSUPPORTED

    @property
    def of_type(self) -> bool:
        """Whether the value has another type than this alternative."""
        return self.type.endswith("_type") or self.type == "literal_error"


def first_problem(problems: Sequence[Mapping[str, Any]], body: Any) -> FieldProblem:
    """Return the problem of the first field that has one; of a field with alternatives, that of the nearest one."""
    located = [_locate(problem, body) for problem in problems]
    first = located[0]
    if first.choice is None:
        return first
    group = [problem for problem in located if problem.choice == first.choice]
    nearest = max(group, key=lambda problem: (problem.depth, not problem.of_type))
    if not nearest.of_type:
        return nearest
    expected = dict.fromkeys(problem.message for problem in group if problem.path == nearest.path)
    return nearest._replace(message=" or ".join(expected).replace(f" or {EXPECTED}", " or "))


def _locate(problem: Mapping[str, Any], body: Any) -> FieldProblem:
    """Return a problem with its path in the body; pydantic's location also has the names of alternative types."""
    location = tuple(problem.get("loc", ()))
    kind = str(problem.get("type", ""))
    outside = location[:1] and location[0] in OUTSIDE
    path = ""
    choice: tuple[Any, ...] | None = None
    value = body
    depth = 0
    missing = len(location) - 1 if kind == "missing" else None  # the part that is the name of a missing field
    for number, part in enumerate(location[1:], 1):
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            path += f"[{part}]"
            value = value[part]
        elif outside or (isinstance(value, dict) and (part in value or missing == number)):
            path += f".{part}" if path else str(part)
            value = value.get(part) if isinstance(value, dict) else None
        else:
            choice = choice or location[:number]
            continue
        depth += 1
    given = str(problem.get("msg", "it cannot be read")).removeprefix("Value error, ").replace(" after validation", "")
    if kind == "missing" and location == ("body",):
        given = "it is missing; send a JSON object, with Content-Type: application/json"
    return FieldProblem(path, depth, choice, kind, MESSAGES.get(kind, given))
