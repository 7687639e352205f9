"""The CSV files of the Ubuntu Dialogue Corpus V2: contexts with a response and, except in train, distractors.

Source: arXiv:1506.08909 and the files of its second version. The columns are Context, Ground Truth Utterance,
Distractor_0, ...; in train Context, Utterance, Label. `__eou__` ends an utterance, `__eot__` a turn.
"""

import re
from collections.abc import Iterator, Sequence

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import (
    CandidateExample,
    Certainty,
    FileFormat,
    Problem,
    Record,
    describe_type,
    quote_names,
)
from convmodel.data.tables import TableHeader, find_header, read_table

_CONTEXT = "context"
_RESPONSE = "ground truth utterance"
_UTTERANCE = "utterance"
_LABEL = "label"
_HEADERS = ({_CONTEXT, _RESPONSE}, {_CONTEXT, _UTTERANCE, _LABEL})
_DISTRACTOR = re.compile(r"distractor_\d+")
_MARK = re.compile(r"__eou__|__eot__")


def score(head: Head) -> Certainty:
    """Return SURE if the first line is one of the two headers, and NONE otherwise."""
    return Certainty.NONE if find_header(head.lines, ",", _has_columns) is None else Certainty.SURE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per row. Rows with the label 0 are skipped: their utterance is not the response."""
    rows = read_table(
        file.lines(), delimiters=",", check=_check_header, limit=file.options.line_limit, notes=file.notes
    )
    for number, row, problem, _ in rows:
        if problem is not None:
            yield Problem(number, problem)
            continue
        fields = {name.lower(): text for name, text in row.items()}
        label = fields.get(_LABEL, "1").strip()
        if _RESPONSE not in fields and label not in ("0", "1", "0.0", "1.0"):
            yield Problem(number, f"the label is {describe_type(label)}; allowed are 1 (the response) and 0 (another)")
        elif _RESPONSE in fields or label.startswith("1"):
            yield _record(number, fields)


def _record(number: int, fields: dict[str, str]) -> Record:
    context = [turn for part in fields[_CONTEXT].split("__eot__") if (turn := _join_utterances(part))]
    response = _join_utterances(fields[_RESPONSE if _RESPONSE in fields else _UTTERANCE])
    distractors = [_join_utterances(text) for name, text in fields.items() if _DISTRACTOR.fullmatch(name)]
    return Record(
        number,
        [*context, response],
        selections=[CandidateExample(number, context, response, distractors, complete=False)],
    )


def _join_utterances(text: str) -> str:
    """Return the utterances of a turn, joined with newlines."""
    return "\n".join(filter(None, map(str.strip, _MARK.split(text))))


def _has_columns(names: Sequence[str]) -> bool:
    found = {name.strip().lower() for name in names}
    return any(header <= found for header in _HEADERS)


def _check_header(table: TableHeader) -> None:
    if not _has_columns(table.names):
        wanted = "Context and Ground Truth Utterance, or Context, Utterance and Label"
        raise ValueError(f"the columns are {quote_names(table.names)}; there must be {wanted}")


UBUNTU = FileFormat(name="ubuntu", human_name="Ubuntu V2 CSV", unit="row", suffixes=(), score=score, read=read)
