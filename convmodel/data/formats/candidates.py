"""The formats of candidates: text, JSON Lines, JSON, tables, and Hub data sets."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import (
    Certainty,
    FileFormat,
    Problem,
    TextLine,
    describe_type,
    from_lines,
    quote_names,
)
from convmodel.data.formats.hub import HubFormat
from convmodel.data.formats.json import looks_like_json
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.json_stream import take_depth
from convmodel.data.json_text import encode_json, parse_json
from convmodel.data.lines import parse_items, parse_lines
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.tables import TableHeader, find_header, read_table

TEXT_NAMES = ("text", "candidate", "answer")
"""Names of keys and columns that hold the text."""

_QUESTION = re.compile(r"\s*(?:Q|Question)\s*:\s*(.*)", re.IGNORECASE)
_ANSWER = re.compile(r"\s*(?:A|Answer)\s*:\s*(.*)", re.IGNORECASE)

WANTED = 'write a text in quotes, or {"text": "...", and any metadata}'


class CandidateRecord(NamedTuple):
    """A candidate as parsed by a format, not yet validated.

    Args:
        line: the number of its first line, counted from 1.
        text: the text; a value of any type if the file is invalid.
        metadata: other fields.
    """

    line: int
    text: Any
    metadata: Mapping[str, Any] | None = None


def _find_name(names: Iterable[str], options: ReadOptions) -> str | None:
    """Return the key or column that holds the text, as the file writes it; None if it is missing."""
    wanted = (options.roles["text"],) if "text" in options.roles else TEXT_NAMES
    return next((name for name in names if name.strip().lower() in [each.lower() for each in wanted]), None)


def _make_record(number: int, value: Any, options: ReadOptions) -> CandidateRecord:
    if isinstance(value, str):
        return CandidateRecord(number, value)
    if isinstance(value, dict) and (name := _find_name(value, options)) is not None:
        metadata = {key: item for key, item in value.items() if key != name}
        encode_json(metadata).encode()  # NaN, or a lone surrogate, is a ValueError
        return CandidateRecord(number, value[name], metadata or None)
    if isinstance(value, list) or (isinstance(value, dict) and not {"turns", "messages", "context"}.isdisjoint(value)):
        raise ValueError("the line is a conversation; to take each turn as a candidate, ask for turns (--turns)")
    if isinstance(value, dict):
        option = name_option("columns", "text=NAME")
        raise ValueError(f"the line is an object without text (its keys: {quote_names(value)}); {WANTED}, or {option}")
    raise ValueError(f"the line is {describe_type(value)}; {WANTED}")


def _read_jsonl(file: DataFile) -> Iterator[CandidateRecord | Problem]:
    def parse(number: int, text: str) -> CandidateRecord:
        return _make_record(number, parse_json(text, noun="candidate", wanted=WANTED), file.options)

    return parse_lines(file.lines(), parse)


def _score_jsonl(head: Head) -> Certainty:
    """Return LIKELY for a file of JSON Lines, by its suffix or its first lines, and NONE otherwise.

    The lines must all begin with a bracket, or be complete JSON values: plain text may also begin with a quotation
    mark.
    """
    is_named = head.file.suffix in (".jsonl", ".ndjson")
    in_brackets = all(line.lstrip()[0] in "{[" for line in head.lines)
    in_quotes = all(line.lstrip()[0] in '{"' and _is_value(line) for line in (head.lines[:-1] or head.lines))
    return Certainty.LIKELY if is_named or in_brackets or in_quotes else Certainty.NONE


def _is_value(line: str) -> bool:
    try:
        return isinstance(parse_json(line, noun="candidate", wanted=WANTED), str | dict | list)
    except ValueError:
        return False


def _read_json(file: DataFile) -> Iterator[CandidateRecord | Problem]:
    return parse_items(file.values(take_depth(1)), partial(_make_record, options=file.options))


def _score_json(head: Head) -> Certainty:
    """Return SURE for a list over several lines, or in a file with the suffix of JSON, and NONE otherwise."""
    begins = head.lines[0].lstrip().startswith("[") and looks_like_json(head.lines[0])
    if not begins or not (isinstance(head.value, list) or len(head.lines[0].strip()) <= 2):
        return Certainty.NONE
    is_whole = head.line_value(head.lines[0]) is not None
    return Certainty.SURE if not is_whole or head.file.suffix == ".json" else Certainty.NONE


def _check_header(table: TableHeader, options: ReadOptions) -> None:
    if _find_name(table.names, options) is None:
        names = quote_names(table.names)
        raise ValueError(f"no column is called text: there are {names}; give {name_option('columns', 'text=NAME')}")


def _read_table(file: DataFile, *, delimiters: str) -> Iterator[CandidateRecord | Problem]:
    check = partial(_check_header, options=file.options)
    rows = read_table(file.lines(), delimiters=delimiters, check=check, limit=file.options.line_limit, notes=file.notes)
    return parse_items(rows, partial(_make_record, options=file.options))


def _score_table(head: Head, *, suffixes: tuple[str, ...], delimiters: str) -> Certainty:
    def fits(names: Iterable[str]) -> bool:
        columns = list(names)
        return len(columns) > 1 and _find_name(columns, head.options) is not None

    if head.file.suffix in suffixes:
        return Certainty.LIKELY
    is_table = find_header(head.lines[:1], delimiters, fits) is not None
    return Certainty.LIKELY if is_table and len(head.lines) > 1 else Certainty.NONE


def _read_questions(lines: Iterator[TextLine]) -> Iterator[CandidateRecord | Problem]:
    """Yield each answer, with the questions above it as metadata; further lines belong to the question or answer."""
    number = 0
    questions: list[str] = []
    answer: list[str] = []
    for line in lines:
        question = _QUESTION.match(line.text)
        begins = question or _ANSWER.match(line.text)
        if line.problem:
            yield Problem(line.number, line.problem)
        elif question:
            yield from _answered(number, questions, answer)
            questions = [question[1]] if answer else [*questions, question[1]]
            answer = []
        elif begins:
            number = line.number
            answer.append(begins[1])
        elif answer:
            answer.append(line.text)
        elif questions:
            questions[-1] = f"{questions[-1]} {line.text.strip()}"
    yield from _answered(number, questions, answer)


def _answered(number: int, questions: list[str], answer: list[str]) -> Iterator[CandidateRecord]:
    text = "\n".join(answer).strip()
    asked = [question.strip() for question in questions if question.strip()]
    if text:
        yield CandidateRecord(number, text, {"question": asked[0] if len(asked) == 1 else asked} if asked else None)


def _score_questions(head: Head) -> Certainty:
    """Return LIKELY if the first line begins with `Q:` and a later line with `A:`, and NONE otherwise."""
    is_asked = bool(head.lines) and _QUESTION.match(head.lines[0]) is not None
    return Certainty.LIKELY if is_asked and any(map(_ANSWER.match, head.lines[1:])) else Certainty.NONE


def _table(name: str, suffixes: tuple[str, ...], delimiters: str) -> FileFormat[CandidateRecord]:
    score = partial(_score_table, suffixes=suffixes, delimiters=delimiters)
    return FileFormat(name, name.upper(), "row", suffixes, score, partial(_read_table, delimiters=delimiters))


_FORMATS: tuple[FileFormat[CandidateRecord], ...] = (
    FileFormat("jsonl", "JSON Lines", "line", (".jsonl", ".ndjson"), _score_jsonl, _read_jsonl),
    FileFormat("json", "JSON", "value", (".json",), _score_json, _read_json),
    _table("csv", (".csv",), ",;|"),
    _table("tsv", (".tsv", ".tab"), "\t"),
    FileFormat("questions", "questions and answers", "line", (), _score_questions, from_lines(_read_questions)),
    FileFormat(
        "text",
        "one candidate a line",
        "line",
        (".txt",),
        lambda _: Certainty.WEAK,
        from_lines(partial(parse_lines, parse=CandidateRecord)),
    ),
)

CANDIDATES: FormatRegistry[CandidateRecord] = FormatRegistry(
    "candidate",
    {format.name: format for format in _FORMATS},
    HubFormat(
        example="hub://org/name?column=text&split=train",
        options=("column", "split", "config", "revision"),
        record=lambda number, row, address: CandidateRecord(number, row[str(address.column)]),
    ),
)
"""The formats of candidates."""
