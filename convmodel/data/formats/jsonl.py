"""JSON Lines with one conversation per line, as a list of turns or an object: reading and writing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convmodel.data.formats.base import (
    CandidateExample,
    FileFormat,
    Problem,
    Record,
    TextLine,
    describe_type,
    quote_names,
)
from convmodel.data.formats.messages import split_messages
from convmodel.data.lines import decode_json, encode_json, parse_json, parse_lines

_OWN_KEYS = frozenset({"turns", "persona", "meta"})
_WANTED = 'write a list of turns, {"turns": [...]} or {"messages": [...]}'


def sniff(first_lines: Sequence[str]) -> bool:
    """Return whether the first line, or at least half of the lines, begin with a bracket or a brace."""
    begins = [line.lstrip()[0] in "[{" for line in first_lines]
    return begins[0] or 2 * sum(begins) >= len(begins)


def read(lines: Iterator[TextLine]) -> Iterator[Record | Problem]:
    """Yield one record or problem per line; blank lines are ignored."""
    return parse_lines(lines, _record)


def dump(turns: Sequence[str], persona: Sequence[str], meta: Mapping[str, Any] | None) -> str:
    """Return a conversation as one line of JSON, without a line end, which `read` parses to an equal conversation.

    The line is always an object, never a list, so that other libraries (datasets, pandas) can read the file too.

    Raises:
        ValueError: when `meta` would change in a round trip through JSON.
    """
    value: dict[str, Any] = {"turns": turns}
    if persona:
        value["persona"] = persona
    if meta is not None:
        meta = dict(meta)
        # The keys of meta are written beside the turns, where they were read from, unless that would be ambiguous.
        value.update(meta if meta and _OWN_KEYS.isdisjoint(meta) else {"meta": meta})
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


def _record(number: int, text: str) -> Record:
    value = parse_json(text, noun="conversation", wanted=_WANTED)
    if isinstance(value, list):
        return _list(number, value)
    if not isinstance(value, dict):
        raise ValueError(f"the line is {describe_type(value)}; {_WANTED}")
    record = _object(number, value)
    if record.meta and ("\\ud" in text or "\\uD" in text):
        _check_surrogates(record.meta)
    return record


def _list(number: int, value: list[Any]) -> Record:
    first = value[0] if value else None
    if isinstance(first, list):
        raise ValueError("turn 1 is a list, not a string; write one conversation a line, not all in one list")
    return Record(number, *split_messages(value)) if isinstance(first, dict) else Record(number, value)


def _object(number: int, value: dict[str, Any]) -> Record:
    persona = value.pop("persona", None)
    if persona is None:
        persona = []
    context: Any = None
    response: Any = None
    if "turns" in value:
        turns = context = value.pop("turns")
    elif "messages" in value or "conversations" in value:
        turns, system = split_messages(value.pop("messages" if "messages" in value else "conversations"))
        context = turns
        # A persona of the wrong type is passed on: the error is raised when the record is validated.
        persona = [*persona, *system] if isinstance(persona, list) else persona
    elif "context" in value and "response" in value:
        context = value.pop("context")
        response = value.pop("response")
        context = context if isinstance(context, list) else [context]
        turns = [*context, response]
        response = "" if response is None else response  # a null response is an error, not the last candidate
    else:
        raise ValueError(f"the object has no turns (its keys: {quote_names(value)}); {_WANTED}")
    if value.keys() == {"meta"} and (value["meta"] is None or isinstance(value["meta"], dict)):
        return Record(number, turns, persona, value["meta"])
    return Record(number, turns, persona, value or None, _selections(number, context, response, value))


def _selections(number: int, context: Any, response: Any, value: Mapping[str, Any]) -> Sequence[CandidateExample]:
    """Return the selection example of an object: a response with distractors, or turns with candidates."""
    if response is not None and "distractors" in value:
        return [CandidateExample(number, context, response, value["distractors"], complete=False)]
    if context is not None and "candidates" in value:
        return [CandidateExample(number, context, response, value["candidates"])]
    return ()


def _check_surrogates(meta: Mapping[str, Any]) -> None:
    try:
        json.dumps(meta, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a value beside the turns holds a lone surrogate (\\ud...); remove it") from None


JSONL = FileFormat(
    name="jsonl",
    human_name="JSON Lines",
    unit="line",
    suffixes=(".jsonl", ".ndjson", ".json"),
    sniff=sniff,
    read=read,
)
