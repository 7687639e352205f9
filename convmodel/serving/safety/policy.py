"""Content policy for user inputs and model outputs."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from convmodel.responders.protocol import Reply
from convmodel.serving.safety.word_list import WordList

Side = Literal["input", "output"]
"""Texts of users ("input") or of the model ("output")."""

Detector = Literal["words", "classifier"]
"""The check that blocked a text."""

BlockedStorage = Literal["nothing", "placeholder", "text"]
"""Storage of a blocked exchange: no turns, turns with a placeholder text, or turns with the blocked text itself."""

SIDES: tuple[Side, ...] = get_args(Side)
STORES: tuple[BlockedStorage, ...] = get_args(BlockedStorage)

SAY = "I would rather not talk about that."
"""Default text of a reply that replaces a blocked one."""

PLACEHOLDER = "[blocked]"
"""Text stored in place of a blocked text."""

Classifier = Callable[[Sequence[str]], Sequence[str | None]]
"""Returns one label per text, the reason to block it; None lets the text pass. Must be thread-safe."""


@dataclass(frozen=True, slots=True)
class BlockReason:
    """Reason for which a text is blocked."""

    side: Side
    by: Detector
    label: str | None = None
    """The classifier's label; None for the word list, whose entries are not disclosed."""


class Policy:
    """Checks of inputs and outputs. Thread-safe.

    If the classifier raises, the check raises too: no text passes unchecked.

    Args:
        words, classifier: the checks; at least one.
        sides: texts to check.
        say: reply to a blocked input, and replacement of a blocked output; not checked itself.
        store: storage of blocked texts. The model never sees a blocked exchange again, whatever is stored.

    Raises:
        ValueError: if there is neither a word list nor a classifier, no side is checked, or `say` is blank.

    Example:
        >>> policy = Policy(words=WordList(["rain"]))
        >>> policy.check_input(["It rains.", "I like the RAIN."])
        BlockReason(side='input', by='words', label=None)
    """

    def __init__(
        self,
        *,
        words: WordList | None = None,
        classifier: Classifier | None = None,
        sides: Collection[Side] = SIDES,
        say: str = SAY,
        store: BlockedStorage = "placeholder",
    ) -> None:
        if words is None and classifier is None:
            raise ValueError("the policy has nothing to check with; give a word list or a classifier")
        if not sides or not set(sides) <= set(SIDES):
            raise ValueError(f"sides={','.join(sides)}; allowed are {', '.join(SIDES)}, and at least one of them")
        if store not in STORES:
            raise ValueError(f"store={store!r}; allowed are {', '.join(STORES)}")
        if not say.strip():
            raise ValueError("say is blank; give the text of a reply that replaces a blocked one")
        self._words = words
        self._classifier = classifier
        self.sides = frozenset(sides)
        self.say = say
        self.store = store
        self._lock = threading.Lock()
        self._counts: Counter[BlockReason] = Counter()

    @property
    def checks_input(self) -> bool:
        return "input" in self.sides

    @property
    def checks_output(self) -> bool:
        """Whether outputs are checked; if so, a reply is sent as a whole after the check, not streamed."""
        return "output" in self.sides

    @property
    def counts(self) -> Mapping[BlockReason, int]:
        """Number of blocked texts per side, check and label."""
        with self._lock:
            return dict(self._counts)

    def check_input(self, texts: Sequence[str]) -> BlockReason | None:
        """Return the reason to block the user's turns and other texts, such as a persona; None if all texts pass."""
        return self._first("input", texts)

    def check_output(self, texts: Sequence[str]) -> BlockReason | None:
        """Check texts of the model that have no alternatives, such as documents; see `check_input`."""
        return self._first("output", texts)

    def pick(self, reply: Reply) -> tuple[Reply | None, BlockReason | None]:
        """Return a reply without its blocked candidates, the first of the others being its text now, and None.

        If none remains, return None and the reason for which the first candidate is blocked.
        """
        if not self.checks_output:
            return reply, None
        reasons = self._reasons("output", [candidate.text for candidate in reply.candidates])
        self._count(reasons)
        passed = [candidate for candidate, reason in zip(reply.candidates, reasons, strict=True) if reason is None]
        if not passed:
            return None, reasons[0]
        if len(passed) == len(reasons):
            return reply, None
        return replace(reply, candidates=tuple(passed), finish=passed[0].finish, reply_tokens=passed[0].tokens), None

    def _first(self, side: Side, texts: Sequence[str]) -> BlockReason | None:
        if side not in self.sides:
            return None
        reason = next((reason for reason in self._reasons(side, texts) if reason is not None), None)
        self._count([reason])
        return reason

    def _reasons(self, side: Side, texts: Sequence[str]) -> list[BlockReason | None]:
        """Return the reason to block each text. The classifier gets the texts that pass the word list, in one batch."""
        reasons: list[BlockReason | None] = [None] * len(texts)
        if self._words is not None:
            reasons = [BlockReason(side, "words") if text in self._words else None for text in texts]
        passed = [index for index, reason in enumerate(reasons) if reason is None]
        if self._classifier is not None and passed:
            labels = self._classifier([texts[index] for index in passed])
            for index, label in zip(passed, labels, strict=True):
                reasons[index] = None if label is None else BlockReason(side, "classifier", label)
        return reasons

    def _count(self, reasons: Sequence[BlockReason | None]) -> None:
        with self._lock:
            self._counts.update(reason for reason in reasons if reason is not None)
