"""What the document formats share: an object's keys in, a record of its document out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convmodel.formats.base import kind, listing

BODY_KEYS = ("body", "text", "content")
"""Where a body is looked for; the first that is there counts."""

WANTED = 'write {"body": "...", "meta": "..."}'


class DocumentRecord(NamedTuple):
    """What a format found, not yet checked: whoever builds the Document checks it.

    Args:
        line: where it begins, counted from 1.
        body: its text, if the file is right.
        meta: what is known of it, if the file is right.
        unused: keys that are neither.
        file: where the line is, if the source is a folder.
    """

    line: int
    body: Any
    meta: Any = None
    unused: Sequence[str] = ()
    file: str | None = None


def record_of(line: int, value: Any) -> DocumentRecord:
    """The document of an object `{"body": ..., "meta": ...}`.

    Raises:
        ValueError: when it is no object, or there is no body in it.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"the line is {kind(value)}; {WANTED}")
    key = next((key for key in BODY_KEYS if key in value), None)
    if key is None:
        raise ValueError(f"the object has no body (its keys: {listing(map(str, value))}); {WANTED}")
    unused = [str(name) for name in value if name not in (key, "meta")]
    return DocumentRecord(line, value[key], value.get("meta"), unused)
