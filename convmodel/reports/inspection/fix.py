"""Corrected copies of inspected files, and reports of the dropped conversations and changed texts."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convmodel.data.atomic import check_file_writable, check_folder_writable
from convmodel.data.conversation import Conversation, ConversationReader, write_conversations
from convmodel.data.reader import format_count
from convmodel.reports.inspection.chunks import Chunk, read_chunks
from convmodel.reports.inspection.inspect import Inspection, Progress
from convmodel.reports.inspection.lengths import WindowTally
from convmodel.reports.inspection.minhash import conversation_hashes
from convmodel.reports.inspection.scripts import HIDDEN_CHARACTERS
from convmodel.reports.inspection.text_checks import fix_mojibake, hidden_characters, is_blank, is_control

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

MENDED: dict[str, tuple[str, Callable[[str], str]]] = {
    "mojibake": ("mojibake undone", fix_mojibake),
    "control": ("control characters removed", lambda text: "".join(c for c in text if not is_control(c))),
    "hidden": ("hidden characters removed", lambda text: hidden_characters(text).sub("", text)),
}
"""Description and function of each correction of a text, by kind of finding."""

# Matches all texts that a correction may change, and a few others. Texts without a match need no further checks.
_SUSPICIOUS = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00c2-\u00f4{HIDDEN_CHARACTERS}]")


@dataclass
class FixReport:
    """Changes of one file.

    Args:
        source: the inspected file.
        output: the corrected copy.
        written: number of conversations written.
        dropped: number of conversations dropped, by key of `DROPPED`; lines for "unreadable".
        mended: number of texts corrected, by key of `MENDED`.
    """

    source: str
    output: str
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield the lines of a human-readable summary."""
        yield f"{self.output}: {format_count(self.written, 'conversation')} of {self.source} written"
        for kind, reason in DROPPED.items():
            if self.dropped[kind]:
                yield f"  {self.dropped[kind]:,} dropped: {reason}"
        for kind, (change, _) in MENDED.items():
            if self.mended[kind]:
                yield f"  {format_count(self.mended[kind], 'text')}: {change}"
        if not self.dropped and not self.mended:
            yield "  nothing dropped, nothing changed"


class SeenHashes:
    """Set of 64-bit integers that needs only eight bytes per integer."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def __contains__(self, value: int) -> bool:
        key = np.int64(value)
        return any(part[np.searchsorted(part, key, side="right") - 1] == key for part in self._parts)

    def add(self, values: set[int]) -> None:
        """Add integers."""
        new = np.sort(np.fromiter(values, dtype=np.int64, count=len(values)))
        # Each part is at least twice as long as the next one, so that there are few parts to search and little to sort.
        while self._parts and len(self._parts[-1]) < 2 * len(new):
            new = np.sort(np.concatenate([self._parts.pop(), new]))
        if len(new):
            self._parts.append(new)


def output_paths(sources: list[str], out: str) -> list[str]:
    """Return the paths of the corrected copies: `out` for one file, or paths in the folder `out` for several.

    Raises:
        ValueError: if two copies would have the same path.
        OSError: if the paths cannot be written.
    """
    if len(sources) == 1:
        check_file_writable(out)
        return [out]
    check_folder_writable(out)
    stems = [os.path.basename(source.split("?")[0].rstrip("/")).removesuffix(".gz") for source in sources]
    paths = [os.path.join(out, os.path.splitext(stem)[0] + ".jsonl") for stem in stems]
    repeated = [path for path in paths if paths.count(path) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]}: two files would be written there; correct them one at a time, or rename one")
    return paths


def fix_files(inspection: Inspection, out: str, *, progress: Progress) -> list[FixReport]:
    """Write corrected copies of the inspected files as JSON Lines, and return a report of each file.

    Mojibake is decoded correctly, and control and hidden characters are removed. The following are dropped:

    - lines that cannot be read;
    - conversations with U+FFFD, where a character was lost, or with a text without a visible character;
    - conversations whose persona leaves no room for a turn;
    - copies of an earlier conversation of the same or an earlier file, and near copies of one of an earlier file.

    Everything else is unchanged. Each copy appears when it is complete.

    Args:
        inspection: inspection of the files.
        out: path of the copy of one file; for several files, a folder, which is created.
        progress: starts a progress display.
    """
    sources = [report.source for report in inspection.files]
    paths = output_paths(sources, out)
    if len(paths) > 1:
        Path(out).mkdir(parents=True, exist_ok=True)
    fixes: list[_Fix] = []
    for source, path in zip(sources, paths, strict=True):
        fix = _Fix(FixReport(source, path), inspection, [earlier.seen for earlier in fixes])
        fix.report.written = write_conversations(fix.kept(progress(f"Mending {source}")), path)
        fixes.append(fix)
    return [fix.report for fix in fixes]


class _Fix:
    """Corrects one file, one chunk at a time."""

    def __init__(self, report: FixReport, inspection: Inspection, earlier_files: Sequence[SeenHashes]) -> None:
        self.report = report
        self.seen = SeenHashes()
        self._earlier_files = earlier_files
        self._ruler = inspection.ruler
        self._read_options = inspection.read_options
        pairs = inspection.duplicates.near.items()
        file = len(earlier_files)
        near_leaks = (repeats.hashes for pair, repeats in pairs if pair[0] < pair[1] == file)
        self._near_leaks = {digest for hashes in near_leaks for digest in hashes.tolist()}

    def kept(self, progress: Callable[[int], object]) -> Iterator[Conversation]:
        """Yield the conversations of the file to write, corrected."""
        reader = ConversationReader(self.report.source, self._read_options, on_error="skip", named=True)
        for chunk in read_chunks(reader):
            mended, found_as = self._mend_chunk(chunk)
            if len(mended.conversations):
                yield from self._without_repeats(mended, found_as)
            progress(len(chunk.conversations))
        if reader.report.skipped:
            self.report.dropped["unreadable"] = reader.report.skipped

    def _mend_chunk(self, chunk: Chunk) -> tuple[Chunk, list[int]]:
        """Return the corrected conversations of a chunk, without those that cannot be corrected.

        The second value is the hash of each conversation before the correction, by which its near copies were recorded.
        """
        lines = []
        conversations = []
        found_as = []
        digests = conversation_hashes(_sides(chunk)).tolist()
        rows = zip(chunk.lines.tolist(), chunk.conversations, digests, strict=True)
        for line, conversation, digest in rows:
            texts = [*conversation.persona, *conversation.turns]
            if any(_SUSPICIOUS.search(text) for text in texts):
                texts = [self._mend(text) for text in texts]
            if any("\ufffd" in text for text in texts):
                self.report.dropped["replacement"] += 1
            elif any(map(is_blank, texts)):
                self.report.dropped["blank"] += 1
            else:
                first = len(conversation.persona)
                lines.append(line)
                mended = Conversation(texts[first:], texts[:first], conversation.meta, conversation.speakers)
                conversations.append(mended)
                found_as.append(digest)
        return Chunk(conversations, np.array(lines, dtype=np.int64)), found_as

    def _mend(self, text: str) -> str:
        for kind, (_, mend) in MENDED.items():
            mended = mend(text)
            if mended != text:
                self.report.mended[kind] += 1
            text = mended
        return text

    def _without_repeats(self, chunk: Chunk, found_as: list[int]) -> Iterator[Conversation]:
        """Yield the conversations of a chunk that repeat no other one, and whose persona leaves room for a turn.

        `found_as` has the hash of each conversation before the correction.
        """
        roomless: set[int] = set()
        sides = _sides(chunk)
        if sides.personas.any():
            roomless.update(WindowTally(self._ruler.max_length).add(sides, self._ruler.count(sides.texts)))
        new: set[int] = set()
        rows = zip(chunk.conversations, conversation_hashes(sides).tolist(), found_as, strict=True)
        for row, (conversation, digest, original) in enumerate(rows):
            reason = "long_persona" if row in roomless else self._reason_to_drop(digest, original, new)
            if reason is None:
                new.add(digest)
                yield conversation
            else:
                self.report.dropped[reason] += 1
        self.seen.add(new)

    def _reason_to_drop(self, digest: int, original: int, new: set[int]) -> str | None:
        if digest in new or digest in self.seen:
            return "duplicate"
        if any(digest in seen for seen in self._earlier_files):
            return "leak"
        return "near_leak" if original in self._near_leaks else None


def _sides(chunk: Chunk) -> Chunk:
    """Return the chunk with its conversations read as two sides, as in the inspection."""
    return Chunk([conversation.alternating() for conversation in chunk.conversations], chunk.lines)
