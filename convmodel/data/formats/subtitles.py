"""Subtitles of films, SubRip (`.srt`) and WebVTT (`.vtt`): successive cues are turns.

A silence of five seconds or more between two cues begins a new conversation. A cue continues the previous turn if that
turn does not end with a complete sentence and the cue begins with a small letter. A dash at the beginning of a line, a
name in capitals with a colon, and a voice tag (`<v Ida>`) mark a change of speaker. Descriptions of sounds in brackets,
songs, and cues that are alone in their conversation are left out and counted.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from convmodel.data.data_file import DataFile, Head, Notes
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record
from convmodel.data.messages import join_turns
from convmodel.data.options import name_option
from convmodel.data.speaker_lines import parse_speaker

_GAP = 5.0
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_BROKEN_CUE = re.compile(r"\s*\d[\d:.,\s\w]*-+>|\s*\d{1,3}:\d{1,2}:\d{2}[,.]\d{1,3}\s*$")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^<>]*)>")
_TAG = re.compile(r"</?[a-zA-Z0-9][^<>]*>|\{\\[^{}]*\}")
_SOUND = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|[♪♫].*")
_DASH = re.compile(r"\s*[-–‐]\s?(?![-–‐\s])")
_NEXT_DASH = re.compile(r"(?<=[.!?…\"”])\s+(?=[-–‐]\s?[^-–‐\s])")
_NAME = re.compile(r"\s*([^\W\d_a-z][^\Wa-z]*(?:[ .'-]+[^\Wa-z]+){0,3}):\s+(?=\S)")
_OPEN_END = re.compile(r"(?:\.\.\.|…|[^.!?…])[\"'”’)]*$")


class _Cue(NamedTuple):
    """A cue: a subtitle with the time at which it is shown.

    Args:
        line: the number of the line with its times.
        begin: the time at which it begins, in seconds.
        end: the time at which it ends, in seconds.
        lines: the lines of its text.
    """

    line: int
    begin: float
    end: float
    lines: list[str]


def score(head: Head) -> Certainty:
    """Return SURE if one of the first two lines has the times of a cue, or the first one is the mark of WebVTT."""
    is_cue = any(map(_CUE.fullmatch, head.lines[:2]))
    return Certainty.SURE if is_cue or re.match(r"WEBVTT(\s|$)", head.lines[0]) else Certainty.NONE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield the conversations."""
    dialogue = _Dialogue(file.notes, has_names=_has_names(file.head.text))
    last: _Cue | None = None
    length = 0
    for cue in _read_cues(file):
        if isinstance(cue, Problem):
            yield cue
            continue
        is_apart = last is not None and not last.begin <= cue.begin < last.end + _GAP
        length += sum(map(len, cue.lines))
        if is_apart or length > file.options.line_limit:
            yield from dialogue.finish()
            length = 0
        dialogue.add(cue)
        last = cue
    yield from dialogue.finish()


def _has_names(text: str) -> bool:
    """Return whether at least half of the first cues begin with the name of a speaker, as in meetings."""
    lines = text.splitlines()
    cues = [lines[at + 1] for at, line in enumerate(lines[:-1]) if _CUE.fullmatch(line)]
    names = Counter(said.speaker for said in map(parse_speaker, cues) if said is not None)
    return len(cues) > 2 and 2 * names.total() >= len(cues) and names.total() > len(names)


def _read_cues(file: DataFile) -> Iterator[_Cue | Problem]:
    cue: _Cue | None = None
    length = 0
    for line in file.lines():
        match = _CUE.fullmatch(line.text)
        if line.problem is not None:
            yield Problem(line.number, line.problem)
        elif match is not None:
            if cue is not None:
                yield _without_number(cue)
            cue = _Cue(line.number, _seconds(match.groups()[:4]), _seconds(match.groups()[4:]), [])
            length = 0
        elif _BROKEN_CUE.match(line.text):
            if cue is not None:
                yield _without_number(cue)
            cue = None
            yield Problem(line.number, "the cue has no valid times; write them as 00:00:01,000 --> 00:00:02,000")
        elif cue is not None and not line.text.strip():
            yield cue
            cue = None
        elif cue is not None:
            length += len(line.text)
            if length > file.options.line_limit:
                limit = name_option("max_line_bytes", file.options.line_limit)
                yield Problem(cue.line, f"the cue is longer than {limit}; divide it by blank lines")
                cue = None
            else:
                cue.lines.append(line.text)
    if cue is not None:
        yield cue


def _without_number(cue: _Cue) -> _Cue:
    """Remove the number of the next cue from the end of a cue, which is there if no blank line separates the two."""
    has_number = bool(cue.lines) and cue.lines[-1].isdigit()
    return cue._replace(lines=cue.lines[:-1]) if has_number else cue


def _seconds(parts: Iterable[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _split_dashes(line: str) -> list[str]:
    """Split a line with several speakers, `- Hello. - Hi.`, into one part for each; return any other line whole."""
    return _NEXT_DASH.split(line) if _DASH.match(_TAG.sub("", line)) else [line]


class _Dialogue:
    """Collector of the turns of a conversation.

    Args:
        notes: the notes for the report of this pass.
        has_names: whether the name of a speaker before a colon may also be in small letters.
    """

    def __init__(self, notes: Notes, *, has_names: bool = False) -> None:
        self._notes = notes
        self._has_names = has_names
        self._begin()

    def _begin(self) -> None:
        self._said: list[tuple[str, str]] = []
        self._turn = 0
        self._speaker = ""
        self._line = 1
        self._cues = 0

    def add(self, cue: _Cue) -> None:
        """Add the text of a cue."""
        self._cues += 1
        is_first = True
        for line in chain.from_iterable(map(_split_dashes, cue.lines)):
            speaker, text = self._parse(line)
            if not text:
                continue
            if speaker is None:
                begins = is_first and not self._is_continued_by(text)
            else:
                begins = not speaker or speaker != self._speaker
            if begins:
                self._turn += 1
                self._speaker = speaker or ""
            if not self._said:
                self._line = cue.line
            self._said.append((str(self._turn), text))
            is_first = False

    def _parse(self, line: str) -> tuple[str | None, str]:
        """Return the speaker and the text of a line.

        The speaker is "" if a dash or a tag marks a change to a speaker without a name, and None if there is no mark.
        """
        voice = _VOICE.search(line)
        text = _TAG.sub("", _VOICE.sub("", line))
        kept = _SOUND.sub("", text)
        if kept != text:
            self._notes.left_out["sound description"] += 1
        kept = " ".join(html.unescape(kept).split())
        dash = _DASH.match(kept)
        kept = kept[dash.end() :] if dash else kept
        name = _NAME.match(kept)
        said = parse_speaker(kept) if self._has_names and not name else None
        if said is not None:
            return said.speaker, said.text
        kept = kept[name.end() :] if name else kept
        if name or voice:
            return (name[1] if name else voice[1] if voice else "").strip(), kept
        return "" if dash else None, kept

    def _is_continued_by(self, text: str) -> bool:
        return bool(self._said) and text[0].islower() and _OPEN_END.search(self._said[-1][1]) is not None

    def finish(self) -> Iterator[Record]:
        """Yield the conversation if it has at least two turns, and begin the next one."""
        turns = [text for _, text in join_turns(self._said)]
        if len(turns) > 1:
            yield Record(self._line, turns)
        else:
            self._notes.left_out["unanswered cue"] += self._cues
        self._begin()


SUBTITLES = FileFormat("subtitles", "subtitles", "cue", (".srt", ".vtt"), score, read)
