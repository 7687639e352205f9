"""Texts of people and replies of a model in; what may be said of them, and why not the rest, out."""

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from convmodel.responders.protocol import Candidate, Reply
from convmodel.serving.safety.word_list import WordList

Side = Literal["input", "output"]
"""What people say, or what the model says."""

By = Literal["words", "classifier"]
"""What found it."""

BlockedStorage = Literal["nothing", "placeholder", "text"]
"""What is kept of a blocked text: no turn at all, a turn that says that there was one, or the text itself."""

SIDES: tuple[Side, ...] = get_args(Side)
STORES: tuple[BlockedStorage, ...] = get_args(BlockedStorage)

SAY = "I would rather not talk about that."
"""What is said in place of a reply, where nobody decides otherwise."""

PLACEHOLDER = "[blocked]"
"""What is kept in place of a blocked text."""


class Classifier(Protocol):
    """Reads texts; several threads may use it at once."""

    def __call__(self, texts: Sequence[str]) -> Sequence[str | None]:
        """For each text the label for which it may not be said; None where it may."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a text may not be said.

    Args:
        side: who said it.
        by: what found it.
        label: of the classifier; None of the word list, whose words are nobody's business.
    """

    side: Side
    by: By
    label: str | None = None


class Policy:
    """What may be said. Several threads may use it at once.

    When a classifier fails, so does the check: nothing is let through because nobody looked.

    Args:
        words: that may not be said.
        classifier: that says what else may not be.
        sides: what is checked.
        say: what is said in place of a reply that may not be, and to an input that may not be. It is not checked.
        store: what is kept of a blocked text. The model never sees it again, whatever is kept.

    Raises:
        ValueError: when nothing is checked, or `say` says nothing.

    Example:
        >>> policy = Policy(words=WordList(["rain"]))
        >>> policy.check_input(["It rains.", "I like the RAIN."])
        Blocked(side='input', by='words', label=None)
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
            raise ValueError("there is nothing that checks; give a list of words, or a classifier")
        if not sides or not set(sides) <= set(SIDES):
            raise ValueError(f"sides={','.join(sides)}; allowed are {', '.join(SIDES)}, and at least one of them")
        if store not in STORES:
            raise ValueError(f"store={store!r}; allowed are {', '.join(STORES)}")
        if not say.strip():
            raise ValueError("there is nothing to say in place of a blocked reply; give a text")
        self._words, self._classifier = words, classifier
        self.sides = frozenset(sides)
        self.say, self.store = say, store
        self._lock = threading.Lock()
        self._counts: Counter[Blocked] = Counter()

    @property
    def checks_input(self) -> bool:
        """Whether what people say is checked."""
        return "input" in self.sides

    @property
    def checks_output(self) -> bool:
        """Whether replies are checked; then they come in one piece, after the check."""
        return "output" in self.sides

    @property
    def counts(self) -> Mapping[Blocked, int]:
        """How often a text was blocked, for each side, by each check, for each label."""
        with self._lock:
            return dict(self._counts)

    def check_input(self, texts: Sequence[str]) -> Blocked | None:
        """Why a request may not be followed: what was found in the first of its texts in which something was found.

        Args:
            texts: what the person says, and whatever else is the person's, such as a persona. None where inputs are
                not checked.
        """
        return self._first("input", texts)

    def check_output(self, texts: Sequence[str]) -> Blocked | None:
        """The same for texts of the model that have no alternatives, such as a document."""
        return self._first("output", texts)

    def pick(self, reply: Reply) -> tuple[Reply | None, Blocked | None]:
        """What may be said of a reply.

        Returns:
            The reply with those of its candidates that may be said, in their order, the first of which is the reply
            now; or None, and why its first candidate may not be said.
        """
        if not self.checks_output:
            return reply, None
        found = self._found("output", [candidate.text for candidate in reply.candidates])
        self._count(found)
        passed = [candidate for candidate, why in zip(reply.candidates, found, strict=True) if why is None]
        if not passed:
            return None, found[0]
        return (reply if len(passed) == len(found) else _of(reply, passed)), None

    def stored(self, text: str) -> str | None:
        """What is kept in place of a blocked text; None where nothing is."""
        return {"nothing": None, "placeholder": PLACEHOLDER, "text": text}[self.store]

    def _first(self, side: Side, texts: Sequence[str]) -> Blocked | None:
        if side not in self.sides:
            return None
        why = next((why for why in self._found(side, texts) if why is not None), None)
        self._count([why])
        return why

    def _found(self, side: Side, texts: Sequence[str]) -> list[Blocked | None]:
        """For each text why it may not be said. The classifier reads what the word list lets through, all at once."""
        found: list[Blocked | None] = [None] * len(texts)
        if self._words is not None:
            found = [Blocked(side, "words") if text in self._words else None for text in texts]
        left = [number for number, why in enumerate(found) if why is None]
        if self._classifier is not None and left:
            labels = self._classifier([texts[number] for number in left])
            for number, label in zip(left, labels, strict=True):
                found[number] = None if label is None else Blocked(side, "classifier", label)
        return found

    def _count(self, found: Sequence[Blocked | None]) -> None:
        with self._lock:
            self._counts.update(why for why in found if why is not None)


def _of(reply: Reply, candidates: Sequence[Candidate]) -> Reply:
    """A reply with fewer candidates."""
    first = candidates[0]
    return replace(reply, candidates=tuple(candidates), finish=first.finish, reply_tokens=first.tokens)
