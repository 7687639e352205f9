"""Mended copies of inspected files, and an account of everything that was dropped or changed."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convmodel.data.conversation import Conversation, ConversationReader, write_conversations
from convmodel.reports.inspection.chunks import Chunk, read_chunks
from convmodel.reports.inspection.findings import plural
from convmodel.reports.inspection.inspect import Inspection, Progress
from convmodel.reports.inspection.lengths import WindowTally
from convmodel.reports.inspection.minhash import conversation_hashes
from convmodel.reports.inspection.scripts import HIDDEN_CHARACTERS
from convmodel.reports.inspection.text_checks import fix_mojibake, hidden_characters, is_blank, is_control
from convmodel.reports.inspection.token_counts import TokenCounter

DROPPED = {
    "unreadable": "could not be read",
    "replacement": "U+FFFD in it: the character is lost",
    "blank": "nothing visible left of a text",
    "long_persona": "no room for a turn beside the persona",
    "duplicate": "repeated an earlier one word for word",
    "leak": "also in an earlier file",
    "near_leak": "nearly as one in an earlier file",
}
"""Reasons for dropping a conversation, by kind of finding."""

MENDED = {
    "mojibake": "mojibake undone",
    "control": "control characters removed",
    "hidden": "hidden characters removed",
}
"""Changes to a text, by kind of finding."""


@dataclass
class FixReport:
    """The changes that were made to a file.

    Args:
        source: the file that was read.
        output: the file that was written.
        written: number of conversations written.
        dropped: number of conversations dropped, by a key of DROPPED (for `unreadable`: of lines).
        mended: number of texts changed, by a key of MENDED.
    """

    source: str
    output: str
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the account for a person."""
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
    """A set of 64-bit integers that takes eight bytes for each."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def __contains__(self, value: int) -> bool:
        key = np.int64(value)
        for part in self._parts:
            index = int(np.searchsorted(part, key))
            if index < len(part) and part[index] == key:
                return True
        return False

    def add(self, values: set[int]) -> None:
        """Add some integers."""
        new = np.sort(np.fromiter(values, dtype=np.int64, count=len(values)))
        # Each part is at least twice as long as the next: few parts to search, and little sorting.
        while self._parts and len(self._parts[-1]) < 2 * len(new):
            new = np.sort(np.concatenate([self._parts.pop(), new]))
        self._parts.append(new)


def check_writable(path: str) -> None:
    """Raise FileNotFoundError or IsADirectoryError when no file can be written to this path."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}; make it first")


def output_paths(sources: list[str], out: str) -> list[str]:
    """Return the paths of the mended files: `out` for one file, paths in the folder `out` for several.

    Raises:
        ValueError: when two files would be written to the same name.
        FileNotFoundError, IsADirectoryError, FileExistsError: when the paths cannot be written to.
    """
    if len(sources) == 1:
        check_writable(out)
        return [out]
    if os.path.isfile(out):
        raise FileExistsError(f"{out}: is a file; several mended files need a folder")
    stems = [os.path.basename(source.split("?")[0].rstrip("/")).removesuffix(".gz") for source in sources]
    paths = [os.path.join(out, os.path.splitext(stem)[0] + ".jsonl") for stem in stems]
    repeated = [path for path in paths if paths.count(path) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]}: two files would be written there; mend them one by one, or rename one")
    return paths


def fix_files(inspection: Inspection, out: str, *, progress: Progress) -> list[FixReport]:
    """Write mended copies of the inspected files.

    Unreadable lines are dropped, and conversations with lost characters, without room beside their persona, or that
    repeat an earlier one, of the same file or (also nearly) of an earlier file: the file named first keeps them.
    Mojibake is undone; control and hidden characters are removed. Everything else is unchanged.

    Args:
        inspection: the inspection of the files.
        out: a file for one, a folder for several, which is created. Each file appears when it is complete, in JSON
            Lines.
        progress: displays the progress.
    """
    sources = [report.source for report in inspection.files]
    paths = output_paths(sources, out)
    if len(paths) > 1:
        Path(out).mkdir(parents=True, exist_ok=True)
    counter = TokenCounter(inspection.ruler.tokenizer)
    earlier_files: list[SeenHashes] = []
    reports = []
    for index, (source, path) in enumerate(zip(sources, paths, strict=True)):
        fix = _Fix(
            FixReport(source, path),
            earlier_files,
            _near_leaks(inspection, index),
            inspection.ruler.max_length,
            counter,
        )
        fix.report.written = write_conversations(fix.kept(progress(f"Mending {source}")), path)
        earlier_files.append(fix.seen)
        reports.append(fix.report)
    return reports


def _near_leaks(inspection: Inspection, file: int) -> frozenset[int]:
    """Return the lines of a file whose conversations are nearly the same as in an earlier one."""
    pairs = inspection.duplicates.near.items()
    return frozenset(line for (one, other), near in pairs if one < other == file for line in near.lines.tolist())


class _Fix:
    """Mend one file, chunk by chunk."""

    def __init__(
        self,
        report: FixReport,
        earlier_files: list[SeenHashes],
        near_leaks: frozenset[int],
        max_length: int,
        counter: TokenCounter,
    ) -> None:
        self.report = report
        self.seen = SeenHashes()
        self._earlier_files = earlier_files
        self._near_leaks = near_leaks
        self._max_length = max_length
        self._counter = counter

    def kept(self, progress: Callable[[int], object]) -> Iterator[Conversation]:
        """Yield the conversations to write."""
        reader = ConversationReader(self.report.source, on_error="skip")
        for chunk in read_chunks(reader):
            mended = self._mend_chunk(chunk)
            if len(mended.conversations):
                yield from self._without_repeats(mended)
            progress(len(chunk.conversations))
        self._drop("unreadable", reader.report.skipped)

    def _drop(self, kind: str, count: int = 1) -> None:
        if count:
            self.report.dropped[kind] += count

    def _mend_chunk(self, chunk: Chunk) -> Chunk:
        """Return the chunk with its texts mended, without the conversations that cannot be mended."""
        mended = []
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
                mended.append((line, Conversation(texts[first:], texts[:first], conversation.meta)))
        return Chunk(
            [conversation for _, conversation in mended], np.array([line for line, _ in mended], dtype=np.int64)
        )

    def _mend(self, text: str) -> str:
        for kind, mend in _MENDING.items():
            mended = mend(text)
            if mended != text:
                self.report.mended[kind] += 1
            text = mended
        return text

    def _without_repeats(self, chunk: Chunk) -> Iterator[Conversation]:
        """Yield the conversations of a chunk that repeat none and have room for a turn beside their persona."""
        roomless: frozenset[int] = frozenset()
        if chunk.personas.any():
            roomless = frozenset(WindowTally(self._max_length).add(chunk, self._counter(chunk.texts)))
        new: set[int] = set()
        hashes = conversation_hashes(chunk).tolist()
        lines = chunk.lines.tolist()
        for row, conversation in enumerate(chunk.conversations):
            reason = "long_persona" if row in roomless else self._reason_to_drop(hashes[row], lines[row], new)
            if reason is None:
                new.add(hashes[row])
                yield conversation
            else:
                self._drop(reason)
        self.seen.add(new)

    def _reason_to_drop(self, digest: int, line: int, new: set[int]) -> str | None:
        if digest in new or digest in self.seen:
            return "duplicate"
        if any(digest in seen for seen in self._earlier_files):
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
# Matches every text that one of them may change, and a few others; most texts need no further checks.
_SUSPICIOUS = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00c2-\u00f4{HIDDEN_CHARACTERS}]")
