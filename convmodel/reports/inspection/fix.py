"""Inspected files in, mended copies out, and an account of everything that was dropped or changed."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convmodel.data.conversation import Conversation, ConversationReader, write_conversations
from convmodel.reports.inspection.chunks import Chunk, chunks
from convmodel.reports.inspection.findings import plural
from convmodel.reports.inspection.inspect import Inspection, Progress
from convmodel.reports.inspection.lengths import WindowTally
from convmodel.reports.inspection.minhash import conversation_hashes
from convmodel.reports.inspection.scripts import HIDDEN_CHARACTERS
from convmodel.reports.inspection.text_checks import fix_mojibake, hidden_characters, is_blank, is_control
from convmodel.reports.inspection.token_counts import TokenCounter

DROPPED = {
    "unreadable": "could not be read",
    "replacement": "U+FFFD in it: what stood there is lost",
    "blank": "nothing visible left of a text",
    "long_persona": "no room for a turn beside the persona",
    "duplicate": "repeated an earlier one word for word",
    "leak": "also in a file before",
    "near_leak": "nearly as one in a file before",
}
MENDED = {
    "mojibake": "mojibake undone",
    "control": "control characters removed",
    "hidden": "hidden characters removed",
}


@dataclass
class FixReport:
    """What became of a file.

    Args:
        source: what was read.
        output: what was written.
        written: conversations.
        dropped: why, and how many conversations (of `unreadable`: lines).
        mended: what was done, and to how many texts.
    """

    source: str
    output: str
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """What to tell a person."""
        yield f"{self.output}: {plural(self.written, 'conversation')} of {self.source} written"
        for kind, reason in DROPPED.items():
            if self.dropped[kind]:
                yield f"  {self.dropped[kind]:,} dropped: {reason}"
        for kind, done in MENDED.items():
            if self.mended[kind]:
                yield f"  {plural(self.mended[kind], 'text')}: {done}"
        if not self.dropped and not self.mended:
            yield "  nothing dropped, nothing changed"


class SeenHashes:
    """Remembers 64-bit numbers exactly, in eight bytes each."""

    def __init__(self) -> None:
        self._sorted: list[np.ndarray] = []

    def __contains__(self, number: int) -> bool:
        value = np.int64(number)
        for part in self._sorted:
            at = int(np.searchsorted(part, value))
            if at < len(part) and part[at] == value:
                return True
        return False

    def add(self, numbers: set[int]) -> None:
        """Remembers some more."""
        new = np.sort(np.fromiter(numbers, dtype=np.int64, count=len(numbers)))
        # Parts that grow at least twofold: few of them to search, and little sorting.
        while self._sorted and len(self._sorted[-1]) < 2 * len(new):
            new = np.sort(np.concatenate([self._sorted.pop(), new]))
        self._sorted.append(new)


def check_writable(path: str) -> None:
    """Raises FileNotFoundError or IsADirectoryError where no file of this name can be written."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}; make it first")


def outputs(sources: list[str], out: str) -> list[str]:
    """Where the mended files are written: to `out` for one file, into the folder `out` for several.

    Raises:
        ValueError: when two files would be written to the same name.
        FileNotFoundError, IsADirectoryError, FileExistsError: when nothing can be written there.
    """
    if len(sources) == 1:
        check_writable(out)
        return [out]
    if os.path.isfile(out):
        raise FileExistsError(f"{out}: is a file; several mended files need a folder")
    stems = [os.path.basename(source.split("?")[0].rstrip("/")).removesuffix(".gz") for source in sources]
    paths = [os.path.join(out, os.path.splitext(stem)[0] + ".jsonl") for stem in stems]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise ValueError(f"{twice[0]}: two files would be written there; mend them one by one, or rename one")
    return paths


def fix_files(inspection: Inspection, out: str, *, progress: Progress) -> list[FixReport]:
    """Writes the inspected files anew, without what cannot be used and with what can be mended.

    Dropped are unreadable lines, conversations with lost characters or without room beside their persona, and those
    that repeat an earlier one, of the same file or (also nearly) of a file before it: the file named first keeps them.
    Mojibake is undone, control and hidden characters are removed. All else stays as it is.

    Args:
        inspection: of the files.
        out: a file for one, a folder for several; it is made. Each file appears when it is whole, in JSON Lines.
        progress: shows a person how far it is.
    """
    sources = [report.source for report in inspection.files]
    paths = outputs(sources, out)
    if len(paths) > 1:
        Path(out).mkdir(parents=True, exist_ok=True)
    counter = TokenCounter(inspection.ruler.tokenizer)
    before: list[SeenHashes] = []
    reports = []
    for number, (source, path) in enumerate(zip(sources, paths, strict=True)):
        fix = _Fix(
            FixReport(source, path), before, _near_leaks(inspection, number), inspection.ruler.max_length, counter
        )
        fix.report.written = write_conversations(fix.kept(progress(f"Mending {source}")), path)
        before.append(fix.seen)
        reports.append(fix.report)
    return reports


def _near_leaks(inspection: Inspection, file: int) -> frozenset[int]:
    """The lines of a file whose conversations are nearly as in an earlier one."""
    found = inspection.duplicates.near.items()
    return frozenset(line for (one, other), near in found if one < other == file for line in near.lines.tolist())


class _Fix:
    """Mends one file as it streams by."""

    def __init__(
        self,
        report: FixReport,
        before: list[SeenHashes],
        near_leaks: frozenset[int],
        max_length: int,
        counter: TokenCounter,
    ) -> None:
        self.report, self.seen = report, SeenHashes()
        self._before, self._near_leaks = before, near_leaks
        self._max_length, self._counter = max_length, counter

    def kept(self, progress: Callable[[int], object]) -> Iterator[Conversation]:
        """The conversations to write."""
        reader = ConversationReader(self.report.source, on_error="skip")
        for chunk in chunks(reader):
            mended = self._mended(chunk)
            if len(mended.conversations):
                yield from self._chosen(mended)
            progress(len(chunk.conversations))
        self._drop("unreadable", reader.report.skipped)

    def _drop(self, kind: str, number: int = 1) -> None:
        if number:
            self.report.dropped[kind] += number

    def _mended(self, chunk: Chunk) -> Chunk:
        """The chunk with its texts mended, without conversations that cannot be."""
        found = []
        for line, conversation in zip(chunk.lines.tolist(), chunk.conversations, strict=True):
            texts = [*conversation.persona, *conversation.turns]
            if any(_SUSPICIOUS.search(text) for text in texts):
                texts = [self._mend(text) for text in texts]
            if any("\ufffd" in text for text in texts):
                self._drop("replacement")
            elif any(map(is_blank, texts)):
                self._drop("blank")
            else:
                first = len(conversation.persona)
                found.append((line, Conversation(texts[first:], texts[:first], conversation.meta)))
        return Chunk([conversation for _, conversation in found], np.array([line for line, _ in found], dtype=np.int64))

    def _mend(self, text: str) -> str:
        for kind, mend in _MENDING.items():
            mended = mend(text)
            if mended != text:
                self.report.mended[kind] += 1
            text = mended
        return text

    def _chosen(self, chunk: Chunk) -> Iterator[Conversation]:
        """The conversations of a chunk that repeat nothing, and have room beside their persona."""
        roomless: frozenset[int] = frozenset()
        if chunk.personas.any():
            roomless = frozenset(WindowTally(self._max_length).add(chunk, self._counter(chunk.texts)))
        new: set[int] = set()
        hashes, lines = conversation_hashes(chunk).tolist(), chunk.lines.tolist()
        for row, conversation in enumerate(chunk.conversations):
            reason = "long_persona" if row in roomless else self._repeats(hashes[row], lines[row], new)
            if reason is None:
                new.add(hashes[row])
                yield conversation
            else:
                self._drop(reason)
        self.seen.add(new)

    def _repeats(self, number: int, line: int, new: set[int]) -> str | None:
        if number in new or number in self.seen:
            return "duplicate"
        if any(number in seen for seen in self._before):
            return "leak"
        return "near_leak" if line in self._near_leaks else None


def _without_controls(text: str) -> str:
    return "".join(c for c in text if not is_control(c))


def _without_hidden(text: str) -> str:
    return hidden_characters(text).sub("", text)


_MENDING: dict[str, Callable[[str], str]] = {
    "mojibake": fix_mojibake,
    "control": _without_controls,
    "hidden": _without_hidden,
}
# Whatever one of them may change, and more: most texts need no closer look.
_SUSPICIOUS = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00c2-\u00f4{HIDDEN_CHARACTERS}]")
