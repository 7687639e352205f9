"""OpenSubtitles as OPUS distributes it: one XML file for each film, or one text file with a sentence on each line.

Successive sentences are turns, because subtitles do not say who speaks. In XML a silence of five seconds begins a new
conversation. A text file does not say where films end: each 10,000 lines are taken for one film.
Source: Lison and Tiedemann 2016, "OpenSubtitles2016"; the use as conversations follows arXiv:1904.06472.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import PurePath
from xml.etree import ElementTree

from convmodel.data.containers import DamagedContainer
from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.rows import Row, read_lines

_GAP = 5.0
_BLOCK = 10_000
_TIME = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)")
_SOUND = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|[♪♫#].*")
_NAME = re.compile(r"^(?:[A-Z][A-Z .'-]{1,20}):\s+")
_DASH = re.compile(r"^[-–‐]\s*")
_SPACE = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r"\s+([.,!?;:…])")


class OpenSubtitles:
    """OpenSubtitles; see `dump.Dump`. Rows are [film, number of the sentence, whether it follows the last, text]."""

    name = "opensubtitles"
    item = "sentences"

    def rows(self, path: str, limits: TurnLimits, counts: Counter[str]) -> Iterator[Row]:
        """Yield the sentences of a file that have words; see `Dump.rows`."""
        is_xml = ".xml" in PurePath(path).suffixes
        begins = True
        for film, number, is_near, sentence in _read_xml(path) if is_xml else _read_text(path):
            counts["read"] += 1
            text = clean(sentence)
            fault = limits.fault(text) if text else "no words"
            counts[fault or "kept"] += 1
            begins = begins or not is_near
            if fault is None:
                yield [film, number, not begins, text]
                begins = False
            elif fault != "no words":
                begins = True

    def conversations(self, rows: Sequence[Row], limits: TurnLimits) -> Iterator[list[str]]:
        """Yield the conversations of a film; see `Dump.conversations`."""
        turns: list[str] = []
        last = -1
        for _, number, follows, text in rows:
            if number == last:
                continue
            last = number
            if turns and (not follows or len(turns) == limits.max_turns):
                yield turns
                turns = []
            turns.append(text)
        yield turns


def clean(sentence: str) -> str:
    """Return a sentence without sounds in brackets, songs, names in capitals, and dashes at the beginning."""
    text = _SOUND.sub("", sentence)
    text = _NAME.sub("", _DASH.sub("", text.strip()))
    return _SPACE.sub(" ", text).strip()


def _read_text(path: str) -> Iterator[tuple[str, int, bool, str]]:
    """Yield, for each line of a text file: film, line index, whether it continues the conversation, and sentence."""
    for number, line in enumerate(read_lines(path)):
        block, place = divmod(number, _BLOCK)
        text = "" if line is None else line.decode("utf-8", errors="replace")
        yield f"{PurePath(path).name}/{block}", number, place > 0 and line is not None, text


def _read_xml(path: str) -> Iterator[tuple[str, int, bool, str]]:
    """Yield film, index, whether it continues the conversation, and text of each sentence of a film's XML file.

    Raises:
        DamagedContainer: when the file is no XML.
    """
    content = b"\n".join(line or b"" for line in read_lines(path))
    film = "/".join(PurePath(path).parts[-2:])
    end = float("-inf")
    try:
        for number, (_, element) in enumerate(_sentences(content)):
            times = [_seconds(time.get("value", "")) for time in element.iter("time")]
            known = [time for time in times if time is not None]
            is_near = not known or known[0] - end < _GAP
            end = max([end, *known])
            yield film, number, is_near, _text_of(element)
    except ElementTree.ParseError as error:
        raise DamagedContainer(f"{path}: is no XML ({error}); fetch it again, or leave it out") from None


def _sentences(content: bytes) -> Iterator[tuple[str, ElementTree.Element]]:
    """Yield the elements <s> of a file."""
    for event, element in ElementTree.iterparse(BytesIO(content)):
        if element.tag == "s":
            yield event, element
            element.clear()


def _text_of(element: ElementTree.Element) -> str:
    """Return the text of a sentence; of a tokenised one, its words, with marks directly after the word before them."""
    words = [word.text or "" for word in element.iter("w")]
    return _BEFORE_MARK.sub(r"\1", " ".join(words)) if words else "".join(element.itertext())


def _seconds(time: str) -> float | None:
    """Return a time such as 00:01:02,500 in seconds; None for anything else."""
    match = _TIME.match(time)
    if match is None:
        return None
    hours, minutes, seconds = (int(match[n]) for n in (1, 2, 3))
    return hours * 3600 + minutes * 60 + seconds + float(f"0.{match[4]}")
