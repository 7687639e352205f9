"""Text with the name of the speaker before each turn: `A: Hello`, optionally with a time. Turns may have several lines.

Blank lines, lines of dashes and headings (`Conversation 2`) divide conversations. If blank lines separate all turns at
the beginning of a file, two blank lines divide conversations. A line without a name continues the previous turn.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats import parlai
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record, TextLine, shorten
from convmodel.data.formats.json import looks_like_json
from convmodel.data.options import name_option
from convmodel.data.shapes.base import OpenConversation
from convmodel.data.shapes.speakers import Said, join_said
from convmodel.data.speaker_lines import parse_speaker

_RULE = re.compile(r"\s*(?:([-=*_#~])\1{2,}|#* ?(?:conversation|dialogue|dialog|chat) #?\d+:?)\s*", re.IGNORECASE)


def score(head: Head) -> Certainty:
    """Return the certainty that lines begin with the names of speakers.

    The result is LIKELY if at least half of the lines begin with a name and a colon and some names occur repeatedly,
    WEAK if none does, and NONE otherwise.
    """
    lines = [line for line in head.lines if not _RULE.fullmatch(line)]
    if not lines or looks_like_json(lines[0]) or parlai.score(head) or parse_speaker(lines[0]) is None:
        return Certainty.NONE
    names = Counter(said.speaker for said in map(parse_speaker, lines) if said is not None)
    count = names.total()
    if len(names) < 2 or 2 * count < len(lines) or len(names) > max(2, count * 0.6):
        return Certainty.NONE
    return Certainty.LIKELY if count > len(names) else Certainty.WEAK


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per conversation."""
    blanks = 2 if _has_spaced_turns(file.head.text) else 1
    if blanks == 2:
        file.notes.add("blank lines between turns")
    conversation = _Spoken(file)
    blank = 0
    for line in file.lines():
        is_blank = line.problem is None and not line.text.strip()
        blank = blank + 1 if is_blank else 0
        if blank >= blanks or (line.problem is None and _RULE.fullmatch(line.text)):
            yield from conversation.finish()
        elif not is_blank:
            conversation.add(line)
    yield from conversation.finish()


def _has_spaced_turns(text: str) -> bool:
    """Return whether blank lines separate all turns at the beginning of a text."""
    blocks = [block for block in re.split(r"\n\s*\n", re.sub("\r\n?", "\n", text.strip())) if block.strip()]
    turns = [sum(parse_speaker(line) is not None for line in block.split("\n")) for block in blocks]
    return len(turns) > 1 and max(turns) == 1


class _Spoken(OpenConversation):
    """Collector of the lines of a conversation.

    Args:
        file: the file.
    """

    def __init__(self, file: DataFile) -> None:
        super().__init__(file.notes)
        self._limit = file.options.line_limit

    def add(self, line: TextLine) -> None:
        """Add a line that is not blank."""
        if self._first is None:
            self._first = line.number
            self._said: list[Said] = []
            self._length = 0
        self._length += len(line.text)
        said = parse_speaker(line.text)
        if line.problem is not None:
            self._fail(line.number, line.problem)
        elif self._length > self._limit:
            fault = f"the conversation is longer than {name_option('max_line_bytes', self._limit)}"
            self._fail(line.number, f"{fault}; divide it by blank lines")
            self._said.clear()
        elif said is not None:
            self._said.append(said)
        elif self._said:
            self._said.append(Said(self._said[-1].speaker, line.text.strip()))
        else:
            self._fail(
                line.number, f"the line begins with {shorten(line.text, 20)!r}; begin it with a name and a colon"
            )

    def _conversations(self, number: int) -> Iterable[Record]:
        chat = join_said(self._said, self._notes)
        return [Record(number, chat.turns, chat.persona, names=chat.names)]


SPEAKERS = FileFormat("speakers", "lines of speakers", "conversation", (), score, read)
