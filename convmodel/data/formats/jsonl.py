"""JSON Lines: one conversation a line, as a list of turns or an object; and the writer of the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convmodel.data.formats.base import CandidateExample, FileFormat, Line, Problem, Record, describe_type, quote_names
from convmodel.data.formats.messages import turns_of
from convmodel.data.lines import decode, encode, one_a_line, parse

_OWN_KEYS = frozenset({"turns", "persona", "meta"})
_WANTED = 'write a list of turns, {"turns": [...]} or {"messages": [...]}'


def sniff(first_lines: Sequence[str]) -> bool:
    """The first line, or at least half of the lines, begin as a list or an object does."""
    begins = [line.lstrip()[0] in "[{" for line in first_lines]
    return begins[0] or 2 * sum(begins) >= len(begins)


def read(lines: Iterator[Line]) -> Iterator[Record | Problem]:
    """One record or problem a line; blank lines are ignored."""
    return one_a_line(lines, _record)


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
    return encode(value)


def _check_survives(meta: dict[str, Any]) -> None:
    try:
        text = encode(meta)
        text.encode()
        same = decode(text) == meta
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"meta cannot be written as JSON ({error}); keep only what JSON can hold") from None
    if not same:
        raise ValueError("meta would come back from JSON changed; use lists instead of tuples, and string keys")


def _record(number: int, text: str) -> Record:
    value = parse(text, noun="conversation", wanted=_WANTED)
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
        raise ValueError(f"the object has no turns (its keys: {quote_names(value)}); {_WANTED}")
    if value.keys() == {"meta"} and (value["meta"] is None or isinstance(value["meta"], dict)):
        return Record(number, turns, persona, value["meta"])
    return Record(number, turns, persona, value or None, _asked(number, context, response, value))


def _asked(number: int, context: Any, response: Any, value: Mapping[str, Any]) -> Sequence[CandidateExample]:
    """What is to be chosen: the response among its distractors, or else the last candidate after the turns."""
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
