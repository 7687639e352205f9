"""Content policy: it blocks inputs of users and outputs of models by a word list and a classifier."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from convmodel.responders.protocol import Reply
from convmodel.serving.safety.word_list import WordList

Side = Literal["input", "output"]
"""The checked texts: those of users ("input") or of the model ("output")."""

Detector = Literal["words", "classifier"]
"""The check that blocked a text: the word list or the classifier."""

BlockedStorage = Literal["nothing", "placeholder", "text"]
"""Storage of a blocked exchange in a conversation: no turns, turns with `PLACEHOLDER`, or turns with the real texts."""

SIDES: tuple[Side, ...] = get_args(Side)
STORES: tuple[BlockedStorage, ...] = get_args(BlockedStorage)

SAY = "I would rather not talk about that."
"""Default text of the reply that replaces a blocked reply or answers a blocked input."""

PLACEHOLDER = "[blocked]"
"""Text stored in place of a blocked text."""

Classifier = Callable[[Sequence[str]], Sequence[str | None]]
"""A function that returns one label per text: the reason to block it, or None to allow it. Must be thread-safe."""


@dataclass(frozen=True, slots=True)
class BlockReason:
    """The reason why a text is blocked: whose text it is, and the check that blocked it."""

    side: Side
    by: Detector
    label: str | None = None
    """The classifier's label. None for the word list, since clients must not learn its entries."""


class Policy:
    """Checks of inputs and outputs by a word list, a classifier, or both. Thread-safe.

    If the classifier raises an exception, the check raises it too, so that no text is allowed unchecked.

    Args:
        words: blocked words and phrases.
        classifier: function that labels texts to block.
        sides: the texts to check: inputs, outputs or both.
        say: reply to a blocked input, and replacement of a blocked output; it is not checked.
        store: storage of a blocked exchange. Later contexts of the model leave the exchange out in every case.

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
        """Number of blocked texts so far, by reason."""
        with self._lock:
            return dict(self._counts)

    def check_input(self, texts: Sequence[str]) -> BlockReason | None:
        """Check texts of a user, such as turns and a persona.

        Returns:
            The reason to block the first blocked text; None if all texts are allowed, or inputs are not checked.
        """
        return self._first("input", texts)

    def check_output(self, texts: Sequence[str]) -> BlockReason | None:
        """Check texts of the model, such as documents; see `check_input`. For replies with candidates, see `pick`."""
        return self._first("output", texts)

    def pick(self, reply: Reply) -> tuple[Reply | None, BlockReason | None]:
        """Remove the blocked candidates of a reply.

        Returns:
            The reply with the allowed candidates, the first of which becomes its text, and None. If all candidates are
            blocked: None, and the reason to block the first candidate.
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
        """Return the reason to block each text, or None.

        The classifier is called once, with all texts that the word list allows.
        """
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
