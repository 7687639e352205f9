"""Statistics and findings of one file, which is read once and in bounded memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from convmodel.data.conversation import ConversationReader
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.reports.inspection.chunks import Chunk, read_chunks
from convmodel.reports.inspection.exports import ExportReport, ExportTally
from convmodel.reports.inspection.findings import EXAMPLES, Finding, FindingExample, Tally, excerpt
from convmodel.reports.inspection.lengths import (
    Lengths,
    WindowTally,
    budget_padding,
    conversation_tokens,
    cut_turns,
    random_padding,
)
from convmodel.reports.inspection.minhash import Fingerprints
from convmodel.reports.inspection.scripts import CharacterClasses, ScriptTally
from convmodel.reports.inspection.speakers import SpeakerTally
from convmodel.reports.inspection.text_checks import TextChecks
from convmodel.reports.inspection.token_counts import Ruler

FREQUENT = 5
"""Number of most frequent turns in a report."""


@dataclass(frozen=True)
class FileReport:
    """Statistics and findings of one file.

    Args:
        source: the file.
        format: name of the format in reports, such as "JSON Lines".
        conversations: number of conversations.
        personas: number of conversations with a persona.
        characters: number of characters of all turns and persona sentences.
        turns: numbers of turns of conversations.
        turn_tokens: numbers of tokens of turns, without separators.
        conversation_tokens: numbers of tokens of conversations, including persona and tokens of the layout.
        speaker_tokens: numbers of tokens of the first and the second speaker.
        windows: numbers of tokens of the windows that training would read.
        split: number of conversations longer than a window.
        padding: share of padding in the trainer's batches.
        random_padding: share of padding in random batches of `RANDOM_BATCH` windows.
        scripts: scripts, each with the number of conversations mainly in it.
        frequent: the most frequent turns with their counts.
        findings: findings in the file.
        export: number of replies, and people and months of a chat export.
    """

    source: str
    format: str
    conversations: int
    personas: int
    characters: int
    turns: Lengths
    turn_tokens: Lengths
    conversation_tokens: Lengths
    speaker_tokens: Sequence[int]
    windows: Lengths
    split: int
    padding: float
    random_padding: float
    scripts: tuple[tuple[str, int], ...]
    frequent: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]
    export: ExportReport


class FileScan:
    """Computes statistics and findings of one file, one chunk at a time.

    Args:
        reader: reader of the file; it may skip lines that cannot be read.
        ruler: tokenizer and window by which lengths are measured.
        classes: classes of characters, which several scans may share.
    """

    def __init__(self, reader: ConversationReader, ruler: Ruler, classes: CharacterClasses) -> None:
        self._reader = reader
        self._ruler = ruler
        self._classes = classes
        self._tally = Tally(reader.location)
        control_tokens = map(str, ruler.tokenizer.hf_tokenizer.all_special_tokens)
        self._texts = TextChecks(self._tally, control_tokens=control_tokens)
        self._speakers = SpeakerTally(self._tally)
        self._scripts = ScriptTally(classes)
        self._costs = ruler.tokenizer.layout.costs
        self._windows = WindowTally(ruler.max_length, self._costs)
        self._export = ExportTally()
        self._turns = Lengths()
        self._turn_tokens = Lengths()
        self._conversation_tokens = Lengths()
        self._personas = 0
        self._characters = 0
        self._segments = 0

    def run(self, fingerprints: Fingerprints, *, file: int, progress: Callable[[int], object]) -> None:
        """Read the file.

        Args:
            fingerprints: fingerprints of all files, to which those of this file are added.
            file: index of the file.
            progress: called after each chunk with the number of its conversations.
        """
        for chunk in read_chunks(self._reader):
            self._add(chunk)
            fingerprints.add(file, chunk)
            progress(len(chunk.conversations))

    def _add(self, chunk: Chunk) -> None:
        tokens = self._ruler.count(chunk.texts)
        classes = self._classes(chunk.code_points)
        self._texts.add(chunk, classes)
        self._scripts.add(chunk, classes)
        self._speakers.add(chunk, tokens)
        self._export.add(chunk)
        self._turns.add(np.diff(chunk.first) - chunk.personas)
        self._turn_tokens.add(tokens[chunk.turn_indices >= 0])
        self._conversation_tokens.add(conversation_tokens(chunk, tokens, self._costs))
        for segment in cut_turns(chunk, tokens, max_length=self._ruler.max_length, costs=self._costs).tolist():
            self._tally.add_text("cut_turn", chunk, segment)
        for row in self._windows.add(chunk, tokens):
            sentences = " ".join(chunk.conversations[row].persona)
            self._tally.add("long_persona", int(chunk.lines[row]), partial(excerpt, sentences))
        self._personas += int((chunk.personas > 0).sum())
        self._characters += len(chunk.joined) - len(chunk.texts)
        self._segments += len(chunk.texts)

    def report(self, *, tokens_per_batch: int) -> FileReport:
        """Return the report, after `run`. Padding is computed for batches of at most `tokens_per_batch` tokens."""
        windows = self._windows.lengths
        return FileReport(
            source=self._reader.source,
            format=CONVERSATIONS[self._reader.format].human_name,
            conversations=self._reader.report.conversations,
            personas=self._personas,
            characters=self._characters,
            turns=self._turns,
            turn_tokens=self._turn_tokens,
            conversation_tokens=self._conversation_tokens,
            speaker_tokens=self._speakers.tokens,
            windows=windows,
            split=self._windows.split,
            padding=budget_padding(windows, tokens_per_batch=tokens_per_batch),
            random_padding=random_padding(windows),
            scripts=self._scripts.shares(),
            frequent=tuple(self._speakers.frequent(FREQUENT)),
            findings=tuple(self._findings()),
            export=self._export.report(self._reader.report.notes),
        )

    def _findings(self) -> list[Finding]:
        read = self._reader.report
        examples = [FindingExample(*_split_location(problem, read.source)) for problem in read.problems[:EXAMPLES]]
        self._tally.add_counted("unreadable", read.skipped, examples)
        rare, first = self._scripts.rare()
        examples = [FindingExample(self._reader.location(line), text) for line, text in first]
        self._tally.add_counted("odd_script", rare, examples)
        others = read.notes.other_files
        examples = [FindingExample(*_split_location(other, read.source)) for other in others[:EXAMPLES]]
        self._tally.add_counted("other_file", len(others), examples)
        totals = {
            "line": read.conversations + read.skipped,
            "conversation": read.conversations,
            "turn": self._turns.total,
            "text": self._segments,
            "file": read.notes.files + len(others),
        }
        return self._tally.findings(read.source, totals)


def _split_location(problem: str, source: str) -> tuple[str, str]:
    """Return location and text of a problem that a reader reported."""
    start = source if problem.startswith(f"{source}:") else ""
    line, _, text = problem.removeprefix(start).partition(": ")
    return start + line, text
