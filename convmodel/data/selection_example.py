"""Examples of response selection (a context, and the response among distractors), and reading them from files."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Unpack

from convmodel.data.conversation import Conversation, ConversationReader, check_turns
from convmodel.data.data_file import Notes
from convmodel.data.formats.base import CandidateExample, Problem, Record, describe_type
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.data.json_text import encode_json
from convmodel.data.options import OptionValues, ReadOptions
from convmodel.data.reader import Reader, Report, Source, format_count

__all__ = [
    "SelectionExample",
    "SelectionReader",
    "SelectionReport",
    "dump_example",
    "iter_examples",
    "iter_responses",
    "open_reader",
    "read_selection_examples",
]

PROBED_RECORDS = 1_000
"""The number of records checked to detect whether a file has candidates."""

_NONE = 'it has no candidates; write {"context", "response", "distractors"} or {"turns", "candidates"}'


@dataclass(frozen=True, slots=True)
class SelectionExample:
    """A context and its candidates, of which one is the real response.

    Args:
        context: at least one turn, none of them empty; stored as a tuple.
        candidates: (C,), at least one, none of them empty or duplicated; stored as a tuple.
        gold: the index of the response in `candidates`, counted from 0.
        persona: sentences about the speaker who replies; stored as a tuple.

    Raises:
        TypeError: when a text is not a string, or `gold` is not an int.
        ValueError: for an empty text, for duplicate candidates (ignoring white space at the ends), or when `gold` is
            out of range.
    """

    context: tuple[str, ...]
    candidates: tuple[str, ...]
    gold: int
    persona: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", check_turns(self.context))
        object.__setattr__(self, "candidates", check_turns(self.candidates, what="candidate"))
        object.__setattr__(self, "persona", check_turns(self.persona, what="persona sentence"))
        if isinstance(self.gold, bool) or not isinstance(self.gold, int):
            raise TypeError(f"gold is {describe_type(self.gold)}; give the index of the response, counted from 0")
        if not 0 <= self.gold < len(self.candidates):
            raise ValueError(
                f"gold={self.gold}: there are {format_count(len(self.candidates), 'candidate')}, counted from 0"
            )
        if len(set(map(str.strip, self.candidates))) < len(self.candidates):
            raise ValueError("a candidate appears twice; remove one")

    @property
    def response(self) -> str:
        """The real response."""
        return self.candidates[self.gold]

    @property
    def distractors(self) -> tuple[str, ...]:
        """The candidates other than the response, in their order."""
        return self.candidates[: self.gold] + self.candidates[self.gold + 1 :]

    def limit_candidates(self, candidates: int) -> "SelectionExample":
        """Return the example with a smaller pool: the first distractors, then the response.

        Args:
            candidates: the maximum size of the pool, at least 1.

        Raises:
            ValueError: when `candidates` is less than 1.
        """
        if candidates < 1:
            raise ValueError(f"candidates={candidates}: the response is always one of them; give 1 or more")
        kept = self.distractors[: candidates - 1]
        return SelectionExample(self.context, (*kept, self.response), len(kept), self.persona)


@dataclass
class SelectionReport(Report):
    """Counts of one pass over a source of selection examples.

    Args:
        examples: the number of examples read.
        repeated: the number of distractors removed because they equal the response or an earlier distractor.
        pools: the number of examples for each pool size.
    """

    examples: int = 0
    repeated: int = 0
    pools: Counter[int] = field(default_factory=Counter)

    formats = CONVERSATIONS

    def describe_read(self) -> str:
        """Return the number of examples and their pool sizes, in words."""
        text = format_count(self.examples, "example")
        if self.pools:
            smallest = min(self.pools)
            largest = max(self.pools)
            if smallest == largest:
                text += f" of {format_count(largest, 'candidate')}"
            else:
                text += f" of {smallest:,} to {largest:,} candidates"
        return f"{text}, {format_count(self.repeated, 'repeated distractor')} left out" if self.repeated else text


def dump_example(example: SelectionExample, distractors: Sequence[str] | None = None) -> str:
    """Return an example as a line of JSON, with its own distractors or others."""
    distractors = example.distractors if distractors is None else distractors
    value = {"context": example.context, "response": example.response, "distractors": distractors}
    return encode_json(value | ({"persona": example.persona} if example.persona else {}))


class SelectionReader(Reader[Record, SelectionExample, SelectionReport]):
    """Read the examples of a file with candidates, any number of times, in bounded memory.

    In ParlAI's formats, every response with a context and candidates is an example. In the other formats, every line or
    row is an example, except the rows of Ubuntu V2 with the label 0. In the rows of Ubuntu V2 with the label 1, the
    response is the only candidate.

    Args:
        source, options, values: see `ConversationReader`.

    Raises:
        ValueError, ConversationFileError, FileNotFoundError, IsADirectoryError: see `ConversationReader`.
    """

    noun = "example"
    formats = CONVERSATIONS
    report_class = SelectionReport

    def has_candidates(self) -> bool:
        """Return whether any record at the beginning of the source has candidates."""
        records = (record for _, record in self._records(Notes()) if isinstance(record, Record))
        return any(record.selections for record in islice(records, PROBED_RECORDS))

    def _items(self, record: Record, report: SelectionReport) -> Iterator[tuple[int, SelectionExample] | Problem]:
        if not record.selections:
            yield Problem(record.line, _NONE, record.file)
        for selection in record.selections:
            yield from super()._items(record._replace(line=selection.line, selections=[selection]), report)

    def _convert(self, record: Record, report: SelectionReport) -> SelectionExample:
        [selection] = record.selections
        example, repeated = _make_example(selection, record.persona)
        report.examples += 1
        report.repeated += repeated
        report.pools[len(example.candidates)] += 1
        return example


def read_selection_examples(
    source: Source, options: ReadOptions | None = None, **values: Unpack[OptionValues]
) -> Iterator[SelectionExample]:
    """Yield the examples of a source with candidates once; see `SelectionReader` for arguments and errors."""
    return iter(SelectionReader(source, options, **values))


def open_reader(
    source: Source, options: ReadOptions | None = None, **values: Unpack[OptionValues]
) -> SelectionReader | ConversationReader:
    """Return a SelectionReader for a source with candidates, and a ConversationReader for any other."""
    reader = SelectionReader(source, options, **values)
    return reader if reader.has_candidates() else ConversationReader(source, options, **values)


def iter_examples(
    source: Source, options: ReadOptions | None = None, **values: Unpack[OptionValues]
) -> Iterator[SelectionExample]:
    """Yield the examples of a source with candidates, or else every response of its conversations."""
    for item in open_reader(source, options, **values):
        yield from [item] if isinstance(item, SelectionExample) else iter_responses(item)


def iter_responses(conversation: Conversation) -> Iterator[SelectionExample]:
    """Yield an example for every turn but the first: the turns before it, and this turn as the only candidate.

    Only responses of the last turn's speaker get the persona, because it describes that speaker.
    """
    turns = conversation.turns
    for i in range(1, len(turns)):
        described = (len(turns) - 1 - i) % 2 == 0
        yield SelectionExample(turns[:i], (turns[i],), 0, conversation.persona if described else ())


def _make_example(selection: CandidateExample, persona: Any) -> tuple[SelectionExample, int]:
    """Return the example, and the number of distractors removed as duplicates."""
    response, slots = _locate_response(selection)
    seen = {response.strip()}
    gold = 0
    candidates: list[str] = []
    for text in slots:
        if text is None:
            gold = len(candidates)
            candidates.append(response)
        elif text.strip() not in seen:
            seen.add(text.strip())
            candidates.append(text)
    example = SelectionExample(selection.context, tuple(candidates), gold, persona)
    return example, len(slots) - len(candidates)


def _locate_response(selection: CandidateExample) -> tuple[str, tuple[str | None, ...]]:
    """Return the response, and the candidates in the order of the file with None at the position of the response."""
    texts = check_turns(selection.candidates, what="candidate" if selection.complete else "distractor")
    if selection.complete and not texts:
        raise ValueError("there are no candidates; give at least one")
    if selection.response is None:
        return texts[-1], (*texts[:-1], None)
    [response] = check_turns([selection.response], what="response")
    if not selection.complete:
        return response, (*texts, None)
    positions = [i for i, text in enumerate(texts) if text.strip() == response.strip()]
    if not positions:
        raise ValueError(f"{describe_type(response)} is not among its candidates; add it to them")
    return response, (*texts[: positions[0]], None, *texts[positions[0] + 1 :])
