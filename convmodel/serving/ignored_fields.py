"""Request fields without effect: they are ignored and named in a response header, or rejected by a strict server."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, WithJsonSchema, WrapValidator

from convmodel.serving.errors import APIError
from convmodel.serving.schemas import RequestModel
from convmodel.serving.service import Service

HEADER = "X-Convmodel-Ignored"

MAX_NAMES = 30
"""Maximum number of names in the header; the number of further names is appended."""

MAX_NAME_CHARS = 80
"""Length to which each name is cut."""


class _Ignored:
    def __bool__(self) -> bool:
        return False


IGNORED: Any = _Ignored()
"""Value of a declared field whose given value has no effect; it is false in conditions."""

T = TypeVar("T")


class LenientModel(RequestModel):
    """Base of request bodies whose unknown fields are ignored; routes call `report_fields` to report them."""

    model_config = ConfigDict(extra="allow")


def _ignore_invalid(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValueError:
        return IGNORED


Ignorable = Annotated[T | None, WrapValidator(_ignore_invalid), WithJsonSchema({"description": "has no effect"})]
"""Type of a declared field without effect. Values of type T need no support and are not reported; others are."""


def ignored_fields(body: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the paths of a request's ignored fields, such as `messages[0].name`.

    A field that is ignored in several items of a list is yielded only for the first of them.
    """
    seen: set[str] = set()
    for path in _ignored_paths(body, prefix):
        general = re.sub(r"\[\d+\]", "[]", path)
        if general not in seen:
            seen.add(general)
            yield path


def _ignored_paths(value: Any, path: str) -> Iterator[str]:
    if value is IGNORED:
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _ignored_paths(item, f"{path}[{index}]")
    elif isinstance(value, BaseModel):
        dotted = f"{path}." if path else ""
        for name in value.model_extra or ():
            yield f"{dotted}{name}"
        for name, field in vars(value).items():
            if field is IGNORED or isinstance(field, list | BaseModel):  # skips most fields without a call
                yield from _ignored_paths(field, f"{dotted}{name}")


Report = Callable[[Iterable[str]], None]
"""A function that reports the names of ignored fields, or of ignored parts of fields; see `report_ignored`."""


def report_fields(request: Request, body: BaseModel) -> Report:
    """Report the ignored fields of a body, and return a function that reports further ignored parts of the request."""
    report = partial(report_ignored, request)
    report(ignored_fields(body))
    return report


def report_ignored(request: Request, names: Iterable[str]) -> None:
    """Add names of ignored fields, or of ignored parts of fields, to the response's header `X-Convmodel-Ignored`.

    Raises:
        APIError: 400 for the first name if the server is strict.
    """
    service: Service = request.app.state.service
    ignored: list[str] = request.scope["state"].setdefault("ignored", [])
    for name in names:
        if service.settings.strict:
            param = name.partition(" ")[0]
            message = f"{name[:MAX_NAME_CHARS]}: it is not supported here, and this server is strict; leave it out"
            raise APIError(400, message, param=param, code="unsupported_parameter")
        ignored.append(name)


def header_value(names: list[str]) -> str:
    """Return the value of the header: the names, in printable ASCII, separated by commas."""
    shown = [re.sub(r"[^\w.\[\] ():/-]", "?", name[:MAX_NAME_CHARS], flags=re.ASCII) for name in names[:MAX_NAMES]]
    more = [f"({len(names) - MAX_NAMES} more)"] if len(names) > MAX_NAMES else []
    return ", ".join([*shown, *more])
