"""JSON Lines of documents: `{"body": "...", "meta": ...}`, one a line; and the writer of the same."""

from collections.abc import Iterator, Sequence
from typing import Any

from convmodel.document.formats.record import WANTED, DocumentRecord, record_of
from convmodel.formats.base import FileFormat, Line, Problem
from convmodel.formats.json_line import encode, parse
from convmodel.formats.one_a_line import one_a_line


def sniff_jsonl(first_lines: Sequence[str]) -> bool:
    """The first line, or at least half of the lines, begin as an object does."""
    begins = [line.lstrip().startswith("{") for line in first_lines]
    return begins[0] or 2 * sum(begins) >= len(begins)


def read_jsonl(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem a line; blank lines are ignored."""
    return one_a_line(lines, _jsonl_record)


def dump(body: str, meta: Any) -> str:
    """One document as one line, without its end."""
    return encode({"body": body} if meta is None else {"body": body, "meta": meta})


def _jsonl_record(number: int, text: str) -> DocumentRecord:
    cure = "read it with format='python', or write it with json.dumps"
    return record_of(number, parse(text, noun="document", wanted=WANTED, python=cure))


JSONL = FileFormat(
    name="jsonl",
    human_name="JSON Lines",
    unit="line",
    suffixes=(".jsonl", ".ndjson", ".json", ".documents"),
    sniff=sniff_jsonl,
    read=read_jsonl,
)
