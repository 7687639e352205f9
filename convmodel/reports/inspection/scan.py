"""One file in, everything that can be said of it alone out, read once and in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from convmodel.data.conversation import ConversationReader
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.reports.inspection.chunks import Chunk, chunks
from convmodel.reports.inspection.findings import EXAMPLES, Example, Finding, Tally, excerpt
from convmodel.reports.inspection.lengths import Lengths, WindowTally, budget_padding, cut_turns, random_padding
from convmodel.reports.inspection.minhash import Fingerprints
from convmodel.reports.inspection.scripts import CharacterClasses, ScriptShare, ScriptTally
from convmodel.reports.inspection.speakers import SpeakerTally
from convmodel.reports.inspection.text_checks import TextChecks
from convmodel.reports.inspection.token_counts import TokenCounter

FREQUENT = 5
"""How many of the most frequent turns are told."""


@dataclass(frozen=True)
class FileReport:
    """What one file holds.

    Args:
        source: its path or address.
        format: for a person, "JSON Lines".
        conversations: how many could be read.
        unreadable: lines, rows or episodes that could not.
        personas: conversations with a persona.
        characters: of all turns and persona sentences.
        turns: turns of each conversation.
        turn_tokens: tokens of each turn, without separators.
        conversation_tokens: tokens of each conversation as it is laid out, persona and separators included.
        speaker_tokens: tokens of the first and the second speaker.
        windows: tokens of the windows that training would read.
        split: conversations longer than a window.
        padding: the share of padding in the trainer's batches.
        random_padding: the same in batches of 16 windows drawn at random.
        scripts: how many conversations are mainly in each script.
        frequent: the most frequent turns, each with how often it came.
        findings: what is wrong or remarkable.
    """

    source: str
    format: str
    conversations: int
    unreadable: int
    personas: int
    characters: int
    turns: Lengths
    turn_tokens: Lengths
    conversation_tokens: Lengths
    speaker_tokens: tuple[int, int]
    windows: Lengths
    split: int
    padding: float
    random_padding: float
    scripts: tuple[ScriptShare, ...]
    frequent: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]


class FileScan:
    """Looks at a file chunk by chunk.

    Args:
        reader: reads the file, skipping what cannot be read.
        count_tokens: counts the tokens of texts.
        max_length: tokens of a window.
        control_tokens: strings of the tokenizer's control tokens.
        classes: the table of characters; may serve several files.
    """

    def __init__(
        self,
        reader: ConversationReader,
        count_tokens: TokenCounter,
        *,
        max_length: int,
        control_tokens: frozenset[str],
        classes: CharacterClasses,
    ) -> None:
        self._reader, self._count_tokens, self._classes = reader, count_tokens, classes
        self._tally = Tally(reader.place)
        self._texts = TextChecks(self._tally, control_tokens=control_tokens)
        self._speakers = SpeakerTally(self._tally)
        self._scripts = ScriptTally(classes)
        self._windows, self._max_length = WindowTally(max_length), max_length
        self._turns, self._turn_tokens, self._conversation_tokens = Lengths(), Lengths(), Lengths()
        self._personas = self._characters = self._segments = 0

    def run(self, fingerprints: Fingerprints, *, file: int, progress: Callable[[int], object]) -> None:
        """Reads the file.

        Args:
            fingerprints: where those of its conversations are added.
            file: its number.
            progress: told after each chunk how many conversations it had.
        """
        for chunk in chunks(self._reader):
            self._add(chunk)
            fingerprints.add(file, chunk)
            progress(len(chunk.conversations))

    def _add(self, chunk: Chunk) -> None:
        tokens = self._count_tokens(chunk.texts)
        classes = self._classes(chunk.code_points)
        self._texts.add(chunk, classes)
        self._scripts.add(chunk, classes)
        self._speakers.add(chunk, tokens)
        self._turns.add(np.diff(chunk.first) - chunk.personas)
        self._turn_tokens.add(tokens[chunk.turn_numbers >= 0])
        self._conversation_tokens.add(np.add.reduceat(tokens + 1, chunk.first[:-1]) + 1)
        for segment in cut_turns(chunk, tokens, max_length=self._max_length).tolist():
            self._tally.add_text("cut_turn", chunk, segment)
        for row in self._windows.add(chunk, tokens):
            sentences = " ".join(chunk.conversations[row].persona)
            self._tally.add("long_persona", int(chunk.lines[row]), partial(excerpt, sentences))
        self._personas += int((chunk.personas > 0).sum())
        self._characters += len(chunk.joined) - len(chunk.texts)
        self._segments += len(chunk.texts)

    def report(self, *, tokens_per_batch: int) -> FileReport:
        """What was seen, once the file is read; padding is for batches of at most `tokens_per_batch` tokens."""
        read = self._reader.report
        return FileReport(
            source=self._reader.source,
            format=CONVERSATIONS[self._reader.format].human_name,
            conversations=read.conversations,
            unreadable=read.skipped,
            personas=self._personas,
            characters=self._characters,
            turns=self._turns,
            turn_tokens=self._turn_tokens,
            conversation_tokens=self._conversation_tokens,
            speaker_tokens=(self._speakers.tokens[0], self._speakers.tokens[1]),
            windows=self._windows.lengths,
            split=self._windows.split,
            padding=budget_padding(self._windows.lengths, tokens_per_batch=tokens_per_batch),
            random_padding=random_padding(self._windows.lengths),
            scripts=self._scripts.shares(),
            frequent=tuple(self._speakers.frequent(FREQUENT)),
            findings=tuple(self._findings()),
        )

    def _findings(self) -> list[Finding]:
        read, place = self._reader.report, self._reader.place
        unreadable = [problem.removeprefix(f"{read.source}:").partition(": ") for problem in read.problems]
        self._tally.note(
            "unreadable",
            read.skipped,
            [Example(f"{read.source}:{line}", why) for line, _, why in unreadable[:EXAMPLES]],
        )
        rare, first = self._scripts.rare()
        self._tally.note("odd_script", rare, [Example(place(line), text) for line, text in first])
        totals = {
            "line": read.conversations + read.skipped,
            "conversation": read.conversations,
            "turn": self._turns.total,
            "text": self._segments,
        }
        return self._tally.findings(read.source, totals)
