"""JSON Lines with one conversation per line, as a list of turns or an object: reading and writing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convmodel.data.data_file import MARKS_NOTE, DataFile, Head
from convmodel.data.encodings import MARK
from convmodel.data.formats.base import Certainty, FileFormat, Item, Problem, Record, quote_names
from convmodel.data.formats.json import holds_several, looks_like_json
from convmodel.data.json_text import MARK_FAULT, decode_json, encode_json, parse_json
from convmodel.data.shapes.reading import WANTED, read_items
from convmodel.data.shapes.registry import fits_shape

_OWN_KEYS = frozenset({"turns", "persona", "meta", "speakers"})


def score(head: Head) -> Certainty:
    """Return the certainty that each line is a JSON list or object.

    The result is NONE if the first line and most of the others do not begin like one, LIKELY if the first line or at
    least half of the lines are complete, and WEAK otherwise.
    """
    begins = [looks_like_json(line) for line in head.lines]
    if not begins[0] and 2 * sum(begins) < len(begins):
        return Certainty.NONE
    values = [value for line in head.lines if (value := head.line_value(line)) is not None]
    if head.line_value(head.lines[0]) is not None:
        # A whole file on one line may be a list of conversations.
        is_whole = len(head.lines) == 1 and holds_several(head)
        return Certainty.WEAK if is_whole else Certainty.LIKELY
    # A first line that begins like a list, but is not complete, may begin a list over several lines.
    return Certainty.LIKELY if 2 * len(values) >= len(head.lines) + begins[0] else Certainty.WEAK


def find_fault(head: Head) -> str | None:
    """Return an error message if the first lines of a file hold no conversation, and None otherwise."""
    values = [value for line in head.lines if (value := head.line_value(line)) is not None]
    if not values or holds_several(head) or any(fits_shape(value, head.options) for value in values):
        return None
    keys = f" (keys: {quote_names(values[0])})" if isinstance(values[0], dict) else ""
    return f"no conversation is in its first lines{keys}"


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per line; blank lines are ignored."""
    return read_items(_items(file), file.options, file.notes)


def dump(
    turns: Sequence[str],
    persona: Sequence[str],
    meta: Mapping[str, Any] | None,
    speakers: Sequence[str] | None = None,
) -> str:
    """Return a conversation as one line of JSON, without a line end. `read` parses it to an equal conversation.

    The line is always an object, never a list, so that other libraries (datasets, pandas) can read the file too.

    Raises:
        ValueError: when `meta` would change in a round trip through JSON.
    """
    value: dict[str, Any] = {"turns": turns} | ({} if speakers is None else {"speakers": speakers})
    if persona:
        value["persona"] = persona
    if meta is not None:
        meta = dict(meta)
        # The keys of meta are written beside the turns, from where they were read, unless that would be ambiguous.
        names = (str(key).strip().lower() for key in meta)
        value.update(meta if meta and _OWN_KEYS.isdisjoint(names) else {"meta": meta})
        _check_survives(meta)
    return encode_json(value)


def _check_survives(meta: dict[str, Any]) -> None:
    try:
        text = encode_json(meta)
        text.encode()
        same = decode_json(text) == meta
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"meta cannot be written as JSON ({error}); keep only what JSON can hold") from None
    if not same:
        raise ValueError("meta would come back from JSON changed; use lists instead of tuples, and string keys")


def _items(file: DataFile) -> Iterator[Item]:
    for number, text, problem in file.lines():
        if problem is not None:
            yield Item(number, None, problem)
        elif text and not text.isspace():
            yield from _parse(number, text, file)


def _parse(number: int, text: str, file: DataFile) -> list[Item]:
    """Return the value of a line, or a problem.

    A line has several values, with byte order marks between them, if files were joined without line ends.
    """
    try:
        return [Item(number, parse_json(text, noun=file.noun, wanted=WANTED))]
    except ValueError as error:
        if MARK not in text:
            return [Item(number, None, str(error))]
    try:
        items = [Item(number, parse_json(part, noun=file.noun, wanted=WANTED)) for part in text.split(MARK)]
    except ValueError:
        return [Item(number, None, f"not JSON: a {MARK_FAULT}")]
    file.notes.add(MARKS_NOTE)
    return items


JSONL = FileFormat("jsonl", "JSON Lines", "line", (".jsonl", ".ndjson"), score, read, find_fault)
