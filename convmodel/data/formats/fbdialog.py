r"""ParlAI's older format of numbered lines: `1 hello<TAB>hi<TAB><TAB>candidate|candidate`; a 1 begins a conversation.

Source: `FbDeprecatedDialogTeacher` of github.com/facebookresearch/ParlAI. A newline is written `\n`.
"""

import re
from collections.abc import Iterator

from convmodel.data.data_file import Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record, TextLine, from_lines, shorten
from convmodel.data.formats.episode import Episode

_NUMBERED = re.compile(r"\s*(\d{1,9})(?: |$)")


def score(head: Head) -> Certainty:
    """Return LIKELY if all lines are numbered, from 1 on, and some line has a response; NONE otherwise."""
    lines = head.lines
    numbered = lines[0].startswith("1 ") and all(map(_NUMBERED.match, lines))
    return Certainty.LIKELY if numbered and any("\t" in line for line in lines) else Certainty.NONE


def read(lines: Iterator[TextLine]) -> Iterator[Record | Problem]:
    """Yield one record per episode. An episode begins where the numbers restart. With a problem, all of it is lost."""
    episode: Episode | None = None
    last = 0
    for line in lines:
        if not line.problem and (not line.text or line.text.isspace()):
            continue
        match = _NUMBERED.match(line.text)
        number = int(match[1]) if match else last + 1
        if number <= last or last == 0:
            if episode:
                yield episode.record()
            episode = Episode(line.number)
        last = number
        if episode:
            try:
                if not match and not line.problem:
                    raise ValueError(f"the line begins with {shorten(line.text, 20)!r}; number it")
                _add_exchange(line, line.text[match.end() :] if match else "", episode)
            except ValueError as error:
                episode = None
                yield Problem(line.number, str(error))
    if episode:
        yield episode.record()


def _add_exchange(line: TextLine, rest: str, episode: Episode) -> None:
    if line.problem:
        raise ValueError(line.problem)
    text, label, _reward, candidates, *_ = [*(part.strip() for part in rest.split("\t")), "", "", ""]
    if text:
        episode.add_text(text.replace("\\n", "\n"))
    if label:
        labels = [text.replace("\\n", "\n") for text in label.split("|")]
        if not labels[0].strip():
            raise ValueError("the response is empty; give it text or remove the episode")
        texts = [candidate.replace("\\n", "\n") for candidate in candidates.split("|") if candidate]
        episode.add_response(labels, line=line.number, candidates=texts, meta={})


FBDIALOG = FileFormat(
    name="fbdialog", human_name="ParlAI numbered lines", unit="episode", suffixes=(), score=score, read=from_lines(read)
)
