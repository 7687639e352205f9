"""Files with given candidates in, ChoiceExamples out: a context, and the response among what else could be said."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from convmodel.data.conversation import Conversation, ConversationReader, check_turns
from convmodel.data.formats.base import CandidateExample, Problem, Record, describe_type
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.data.lines import DEFAULT_MAX_LINE_BYTES
from convmodel.data.reader import OnError, Reader, Report, count

__all__ = [
    "ChoiceReport",
    "SelectionExample",
    "SelectionReader",
    "every_example",
    "every_response",
    "read_selection_examples",
    "reader_of",
]

LOOKED_AT = 1_000
"""Records by which a file with candidates is told from one without."""

_NONE = 'it has no candidates; write {"context", "response", "distractors"} or {"turns", "candidates"}'


@dataclass(frozen=True, slots=True)
class SelectionExample:
    """A context and its candidates, of which one is the real response.

    Args:
        context: at least one turn, none of them empty; kept as a tuple.
        candidates: (C,), at least one, none of them empty, none twice; kept as a tuple.
        gold: which of them is the response, counted from 0.
        persona: sentences about the speaker who replies; kept as a tuple.

    Raises:
        TypeError: when a text is no string, or gold no int.
        ValueError: for an empty text or a candidate that stands twice (white space at the ends aside), or when gold is
            none of the candidates.
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
            raise TypeError(f"gold is {describe_type(self.gold)}; give the place of the response, counted from 0")
        if not 0 <= self.gold < len(self.candidates):
            raise ValueError(f"gold={self.gold}: there are {count(len(self.candidates), 'candidate')}, counted from 0")
        if len(set(map(str.strip, self.candidates))) < len(self.candidates):
            raise ValueError("a candidate stands twice; leave one out")

    @property
    def response(self) -> str:
        """The candidate that is the real response."""
        return self.candidates[self.gold]

    @property
    def distractors(self) -> tuple[str, ...]:
        """The other candidates, in their order."""
        return self.candidates[: self.gold] + self.candidates[self.gold + 1 :]

    def among(self, candidates: int) -> "SelectionExample":
        """The same with a smaller pool: the first distractors, then the response.

        Args:
            candidates: how many there are to be, at least 1. Where there are fewer, all stay.

        Raises:
            ValueError: for less than 1.
        """
        if candidates < 1:
            raise ValueError(f"candidates={candidates}: the response is always one of them; give 1 or more")
        kept = self.distractors[: candidates - 1]
        return SelectionExample(self.context, (*kept, self.response), len(kept), self.persona)


@dataclass
class ChoiceReport(Report):
    """What one reading of a source came to, so far.

    Args:
        examples: how many were read.
        repeated: distractors that were left out because they equal the response or an earlier distractor.
        pools: how many examples have how many candidates.
    """

    examples: int = 0
    repeated: int = 0
    pools: Counter[int] = field(default_factory=Counter)

    formats = CONVERSATIONS

    def found(self) -> str:
        """How many examples, with how many candidates."""
        text = count(self.examples, "example")
        if self.pools:
            fewest, most = min(self.pools), max(self.pools)
            text += f" of {count(most, 'candidate') if fewest == most else f'{fewest:,} to {most:,} candidates'}"
        return f"{text}, {count(self.repeated, 'repeated distractor')} left out" if self.repeated else text


class SelectionReader(Reader[Record, SelectionExample, ChoiceReport]):
    """Reads the examples of a file with given candidates, as often as wanted, in bounded memory.

    In ParlAI's formats every response that has a context and candidates is an example; in the others every line or row
    is, except Ubuntu V2's rows with the label 0. Those with the label 1 have no candidates but the response.

    Args:
        source: a path, plain or gzipped.
        format: one of jsonl, parlai, fbdialog, ubuntu; None recognises it from the content.
        on_error: "stop" raises at the first thing that cannot be read, "skip" counts it and reads on.
        max_line_bytes: a longer line counts as one that cannot be read.

    Raises:
        ValueError, ConversationFileError, FileNotFoundError, IsADirectoryError: as `ConversationReader`.
    """

    noun = "example"
    formats = CONVERSATIONS

    def given(self) -> bool:
        """Whether anything at the beginning of the source came with candidates."""
        records = (item for item in self._items() if isinstance(item, Record))
        return any(record.asked for record in islice(records, LOOKED_AT))

    def _new_report(self) -> ChoiceReport:
        return ChoiceReport(self.source, self.format)

    def _make(self, record: Record, report: ChoiceReport) -> Iterable[tuple[int, SelectionExample] | Problem]:
        if not record.asked:
            yield Problem(record.line, _NONE)
        for asked in record.asked:
            try:
                example, repeated = _example(asked, record.persona)
            except (TypeError, ValueError) as error:
                yield Problem(asked.line, str(error))
                continue
            report.examples += 1
            report.repeated += repeated
            report.pools[len(example.candidates)] += 1
            yield asked.line, example


def read_selection_examples(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    on_error: OnError = "stop",
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
) -> Iterator[SelectionExample]:
    """Yields the examples of a file with given candidates once; all else is as in `SelectionReader`."""
    return iter(SelectionReader(source, format=format, on_error=on_error, max_line_bytes=max_line_bytes))


def reader_of(source: str | os.PathLike[str], *, on_error: OnError = "stop") -> "SelectionReader | ConversationReader":
    """What reads a source: as examples where it gives candidates, and else as conversations."""
    choices = SelectionReader(source, on_error=on_error)
    return choices if choices.given() else ConversationReader(source, on_error=on_error)


def every_example(source: str | os.PathLike[str], *, on_error: OnError = "stop") -> Iterator[SelectionExample]:
    """The examples of a file with candidates, or every response of its conversations."""
    for one in reader_of(source, on_error=on_error):
        yield from [one] if isinstance(one, SelectionExample) else every_response(one)


def every_response(conversation: Conversation) -> Iterator[SelectionExample]:
    """Every turn but the first as the response to those before it, with no other candidate.

    The persona stands before responses of the speaker of the last turn alone: it is that speaker's.
    """
    turns = conversation.turns
    for number in range(1, len(turns)):
        described = (len(turns) - 1 - number) % 2 == 0
        yield SelectionExample(turns[:number], (turns[number],), 0, conversation.persona if described else ())


def _example(asked: CandidateExample, persona: Any) -> tuple[SelectionExample, int]:
    """The example, and how many distractors were left out because they say what another candidate says."""
    texts = check_turns(asked.candidates, what="candidate" if asked.complete else "distractor")
    if asked.complete and not texts:
        raise ValueError("there are no candidates; give at least one")
    if asked.response is None:
        response, given = texts[-1], (*texts[:-1], None)
    else:
        [response] = check_turns([asked.response], what="response")
        same = [i for i, text in enumerate(texts) if text.strip() == response.strip()]
        if asked.complete and not same:
            raise ValueError(f"{describe_type(response)} is not among its candidates; add it to them")
        given = (*texts[: same[0]], None, *texts[same[0] + 1 :]) if asked.complete else (*texts, None)
    # The response keeps its place, which is marked by None.
    seen, gold = {response.strip()}, 0
    candidates: list[str] = []
    for text in given:
        if text is None:
            gold = len(candidates)
            candidates.append(response)
        elif text.strip() not in seen:
            seen.add(text.strip())
            candidates.append(text)
    example = SelectionExample(asked.context, tuple(candidates), gold, persona)
    return example, len(given) - len(candidates)
