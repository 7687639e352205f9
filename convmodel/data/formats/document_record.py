"""Documents as formats parse them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convmodel.data.formats.base import describe_type, quote_names

BODY_KEYS = ("body", "text", "content")
"""Keys that may hold the body; the first one present is used."""

WANTED = 'write {"body": "...", "meta": "..."}'


class DocumentRecord(NamedTuple):
    """A document as parsed by a format; it is validated when the Document is created.

    Args:
        line: the number of its first line, counted from 1.
        body: the text; a value of any type if the file is invalid.
        meta: the metadata; a value of any type if the file is invalid.
        unused: keys of the object that are ignored.
    """

    line: int
    body: Any
    meta: Any = None
    unused: Sequence[str] = ()


def make_record(line: int, value: Any) -> DocumentRecord:
    """Return the record of an object `{"body": ..., "meta": ...}`.

    Raises:
        ValueError: when the value is not an object, or has no body.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"the line is {describe_type(value)}; {WANTED}")
    key = next((key for key in BODY_KEYS if key in value), None)
    if key is None:
        raise ValueError(f"the object has no body (its keys: {quote_names(map(str, value))}); {WANTED}")
    unused = [str(name) for name in value if name not in (key, "meta")]
    return DocumentRecord(line, value[key], value.get("meta"), unused)
