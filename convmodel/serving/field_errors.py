"""Errors of request fields: translation of pydantic's errors to the paths of fields in the request.

The location in pydantic's error also contains names of types, if a field may have one of several types.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNSUPPORTED = ("extra_forbidden", "unsupported_parameter")
"""Pydantic's error types of fields that this server does not support."""

OUTSIDE = ("query", "path", "header", "cookie")
"""First parts of the locations of problems outside the request body."""


EXPECTED = "Input should be "
"""Beginning of pydantic's messages about invalid values."""

MESSAGES = {
    "extra_forbidden": "there is no such field here, or it is not supported",
    "model_attributes_type": f"{EXPECTED}an object",
    "model_type": f"{EXPECTED}an object",
    "dict_type": f"{EXPECTED}an object",
}
"""Messages that replace pydantic's, by pydantic's error type."""


class FieldProblem(NamedTuple):
    """A problem that pydantic reported.

    Args:
        path: path of the field in the request, such as `messages[0].content`.
        depth: number of steps in the path.
        choice: location of the field that may have one of several types, if the problem concerns only one of these
            types; otherwise None.
        type: pydantic's error type.
        message: text for the user.
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
        """Whether the problem is that the value does not have the expected type or literal value."""
        return self.type.endswith("_type") or self.type == "literal_error"


def first_problem(problems: Sequence[Mapping[str, Any]], body: Any) -> FieldProblem:
    """Return the problem to report.

    It is the first problem. If its field may have one of several types, each type has its own problem; of these, the
    deepest in the request is returned, which is the problem of the type that fits best. If the types fit equally badly,
    the message names all of them.
    """
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
    """Convert a problem reported by pydantic; its path omits the names of types in pydantic's location."""
    location = tuple(problem.get("loc", ()))
    kind = str(problem.get("type", ""))
    outside = location[:1] and location[0] in OUTSIDE
    path = ""
    choice: tuple[Any, ...] | None = None
    value = body
    depth = 0
    missing = len(location) - 1 if kind == "missing" else None  # index of the missing field's name in the location
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
