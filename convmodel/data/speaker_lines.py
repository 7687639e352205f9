"""Parsing of lines that begin with the name of a speaker and a colon: `Ida: Hello`."""

import re

from convmodel.data.shapes.speakers import Said

_NAME = r"#?(?P<name>[^\W\d_](?:[\w.'’()&/-]| (?! )){0,39}?)#?"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\.?)?"
_TIME = rf"(?:\[{_CLOCK}\]|\({_CLOCK}\)|{_CLOCK}(?:\s[-–—])?)"
_LINE = re.compile(
    rf"\s*(?:{_TIME}\s+)?(?:\*\*|__|\[)?{_NAME}(?:\*\*|__|\])?(?:\s{_TIME})?\s?[:：](?!//)(?:\*\*|__)?\s*(?P<text>.*)$"
)
_MAX_WORDS = 4


def parse_speaker(line: str) -> Said | None:
    """Return the speaker and the text of a line; None if the line does not begin with a name and a colon.

    A time before or after the name is ignored.
    """
    match = _LINE.match(line)
    if match is None or len(match["name"].split()) > _MAX_WORDS:
        return None
    return Said(match["name"].strip(), match["text"].strip())


def read_transcript(text: str) -> list[Said]:
    """Return the utterances in a transcript of several speakers, one per line of the text, in order.

    The list is empty if the first line has no speaker, or if there is only one speaker. A line without a name belongs
    to the speaker of the line before it.
    """
    found: list[Said] = []
    for line in filter(str.strip, text.splitlines()):
        said = parse_speaker(line)
        if said is not None:
            found.append(said)
        elif not found:
            return []
        else:
            found.append(Said(found[-1].speaker, line.strip()))
    return found if len({said.speaker for said in found}) > 1 else []
