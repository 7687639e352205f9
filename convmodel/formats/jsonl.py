"""JSON Lines: one conversation a line, as a list of turns or an object; and the writer of the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .base import Asked, FileFormat, Line, Problem, Record, kind, listing, shorten
from .messages import turns_of

_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

_OWN_KEYS = frozenset({"turns", "persona", "meta"})
_PYTHON = ("'", "None", "True", "False")
_WANTED = 'write a list of turns, {"turns": [...]} or {"messages": [...]}'


def sniff(first_lines: Sequence[str]) -> bool:
    """The first line, or at least half of the lines, begin as a list or an object does."""
    begins = [line.lstrip()[0] in "[{" for line in first_lines]
    return begins[0] or 2 * sum(begins) >= len(begins)


def read(lines: Iterator[Line]) -> Iterator[Record | Problem]:
    """One record or problem a line; blank lines are ignored."""
    for number, text, problem in lines:
        if problem is not None:
            yield Problem(number, problem)
        elif text and not text.isspace():
            try:
                yield _record(number, text)
            except ValueError as error:
                yield Problem(number, str(error))


def dump(turns: Sequence[str], persona: Sequence[str], meta: Mapping[str, Any] | None) -> str:
    """One conversation as one line, without its end, from which `read` makes the same again.

    It is always an object, never a bare list, so that other libraries (datasets, pandas) read the file too.

    Raises:
        ValueError: when `meta` would come back as something else.
    """
    value: dict[str, Any] = {"turns": turns}
    if persona:
        value["persona"] = persona
    if meta is not None:
        meta = dict(meta)
        # The keys stand beside the turns, as where they came from, except where that would be ambiguous.
        value.update(meta if meta and _OWN_KEYS.isdisjoint(meta) else {"meta": meta})
        _check_survives(meta)
    return _encode(value)


def _check_survives(meta: dict[str, Any]) -> None:
    try:
        text = _encode(meta)
        text.encode()
        same = _decode(text) == meta
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"meta cannot be written as JSON ({error}); keep only what JSON can hold") from None
    if not same:
        raise ValueError("meta would come back from JSON changed; use lists instead of tuples, and string keys")


def _record(number: int, text: str) -> Record:
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(_not_json(text, error)) from None
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {_WANTED}") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ValueError(f"not readable as JSON ({error}); {_WANTED}") from None
    if isinstance(value, list):
        return _list(number, value)
    if not isinstance(value, dict):
        raise ValueError(f"the line is {kind(value)}; {_WANTED}")
    record = _object(number, value)
    if record.meta and ("\\ud" in text or "\\uD" in text):
        _check_surrogates(record.meta)
    return record


def _list(number: int, value: list[Any]) -> Record:
    first = value[0] if value else None
    if isinstance(first, list):
        raise ValueError("turn 1 is a list, not a string; write one conversation a line, not all in one list")
    return Record(number, *turns_of(value)) if isinstance(first, dict) else Record(number, value)


def _object(number: int, value: dict[str, Any]) -> Record:
    persona = value.pop("persona", None)
    if persona is None:
        persona = []
    context: Any = None
    response: Any = None
    if "turns" in value:
        turns = context = value.pop("turns")
    elif "messages" in value or "conversations" in value:
        turns, system = turns_of(value.pop("messages" if "messages" in value else "conversations"))
        context = turns
        # A persona of the wrong type goes on as it is: whoever checks the record says so.
        persona = [*persona, *system] if isinstance(persona, list) else persona
    elif "context" in value and "response" in value:
        context, response = value.pop("context"), value.pop("response")
        context = context if isinstance(context, list) else [context]
        turns = [*context, response]
        response = "" if response is None else response  # null is no response, rather than the last candidate
    else:
        raise ValueError(f"the object has no turns (its keys: {listing(value)}); {_WANTED}")
    if value.keys() == {"meta"} and (value["meta"] is None or isinstance(value["meta"], dict)):
        return Record(number, turns, persona, value["meta"])
    return Record(number, turns, persona, value or None, _asked(number, context, response, value))


def _asked(number: int, context: Any, response: Any, value: Mapping[str, Any]) -> Sequence[Asked]:
    """What is to be chosen: the response among its distractors, or else the last candidate after the turns."""
    if response is not None and "distractors" in value:
        return [Asked(number, context, response, value["distractors"], complete=False)]
    if context is not None and "candidates" in value:
        return [Asked(number, context, response, value["candidates"])]
    return ()


def _check_surrogates(meta: Mapping[str, Any]) -> None:
    try:
        json.dumps(meta, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a value beside the turns holds a lone surrogate (\\ud...); remove it") from None


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    found = f"found {shorten(text[error.pos :], 20)!r}" if error.pos < len(text) else "at the end of the line"
    what = f"not JSON: {error.msg.lower()} at column {error.pos + 1}, {found}"
    if text.strip() in ("[", "{"):
        return f"{what}; the JSON goes over several lines: write one conversation a line"
    if text.startswith(_PYTHON, error.pos):
        return f"{what}; this looks like Python (single quotes, None): write it with json.dumps"
    return f"{what}; {_WANTED}"


JSONL = FileFormat(
    name="jsonl",
    human_name="JSON Lines",
    unit="line",
    suffixes=(".jsonl", ".ndjson", ".json"),
    sniff=sniff,
    read=read,
)
