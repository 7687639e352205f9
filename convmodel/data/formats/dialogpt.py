"""DialoGPT's TSV: `0.0 Hello EOS 1.0 Hi<TAB>1.0 How are you?`, the turns before the reply, and the reply.

Source: `data/` and `prepro.py` of github.com/microsoft/DialoGPT (2019). The number before a turn is its weight in
training. Conversations whose reply has the weight 0 are not meant for training, and are left out.
"""

import re
from collections.abc import Iterator

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record
from convmodel.data.lines import parse_lines

_WEIGHT = re.compile(r"\s*([01]\.\d+)(?:\s+|$)")
_END = re.compile(r"(?:^|\s+)EOS(?:\s+|$)")


def score(head: Head) -> Certainty:
    """Return SURE if every line has at least two fields and all begin with a weight, and NONE otherwise."""
    whole = head.whole_lines
    parts = [line.split("\t") for line in whole]
    is_weighted = all(len(fields) > 1 and all(map(_WEIGHT.match, fields)) for fields in parts)
    return Certainty.SURE if is_weighted else Certainty.NONE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per line. Lines whose reply has the weight 0 are left out and counted."""
    for record in parse_lines(file.lines(), _parse):
        if isinstance(record, Record) and not record.turns:
            file.notes.left_out["line of weight 0"] += 1
        else:
            yield record


def _parse(number: int, text: str) -> Record:
    """Return the conversation of a line; it has no turns if its reply has the weight 0."""
    fields = [field for field in text.split("\t") if field.strip()]
    match = _WEIGHT.match(fields[-1])
    if len(fields) < 2 or match is None:
        fault = "the line does not consist of turns, a tab, a weight and a reply"
        raise ValueError(f"{fault}; write 0.0 turn EOS turn<TAB>1.0 reply")
    turns = [_WEIGHT.sub("", turn, count=1).strip() for field in fields for turn in _END.split(field)]
    return Record(number, [] if float(match[1]) == 0 else [turn for turn in turns if turn])


DIALOGPT = FileFormat("dialogpt", "DialoGPT TSV", "line", (), score, read)
