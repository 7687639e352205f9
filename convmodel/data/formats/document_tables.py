"""Documents in JSON lists and in tables, with the same keys as in JSON Lines."""

from collections.abc import Iterator, Sequence
from functools import partial

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, quote_names
from convmodel.data.formats.document_record import BODY_KEYS, DocumentRecord, make_record
from convmodel.data.json_stream import take_depth
from convmodel.data.lines import parse_items
from convmodel.data.tables import TableHeader, find_header, read_table


def _score_json(head: Head) -> Certainty:
    """Return SURE for a list of objects, and NONE otherwise."""
    first = head.value[0] if isinstance(head.value, list) and head.value else None
    is_cut = head.lines[0].strip() in ("[", "[{")
    return Certainty.SURE if isinstance(first, dict) or is_cut else Certainty.NONE


def _has_body(names: Sequence[str]) -> bool:
    return not {name.strip() for name in names}.isdisjoint(BODY_KEYS)


def _check_header(table: TableHeader) -> None:
    if not _has_body(table.names):
        raise ValueError(f"no column is called body: there are {quote_names(table.names)}; call one of them body")


def _read_table(file: DataFile, *, delimiters: str) -> Iterator[DocumentRecord | Problem]:
    limit = file.options.line_limit
    rows = read_table(file.lines(), delimiters=delimiters, check=_check_header, limit=limit, notes=file.notes)
    return parse_items(rows, make_record)


def _score_table(head: Head, *, suffixes: tuple[str, ...], delimiters: str) -> Certainty:
    if head.file.suffix not in suffixes:  # plain text may begin with any words
        return Certainty.NONE
    return Certainty.LIKELY if find_header(head.lines, delimiters, _has_body) else Certainty.NAME


def _table(name: str, suffixes: tuple[str, ...], delimiters: str) -> FileFormat[DocumentRecord]:
    score = partial(_score_table, suffixes=suffixes, delimiters=delimiters)
    return FileFormat(name, name.upper(), "row", suffixes, score, partial(_read_table, delimiters=delimiters))


JSON = FileFormat(
    "json", "JSON", "value", (), _score_json, lambda file: parse_items(file.values(take_depth(1)), make_record)
)
CSV = _table("csv", (".csv",), ",;|")
TSV = _table("tsv", (".tsv", ".tab"), "\t")
