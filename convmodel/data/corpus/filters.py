"""Filters of whole conversations: number of turns, words that must not occur, and language."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from convmodel.data.corpus.dump import TurnLimits

LANGUAGE_SAMPLE = 1_000
"""Number of characters of a conversation from which its language is recognised."""


@dataclass(frozen=True)
class Filters:
    """Filters of conversations, applied in this order.

    Args:
        limits: limits of turns.
        words: conversations with one of these words, in any case, are left out.
        language: ISO 639-1 code; conversations that py3langid recognises as another language are left out.
        certainty: smallest probability of the language.
    """

    limits: TurnLimits = field(default_factory=TurnLimits)
    words: tuple[str, ...] = ()
    language: str | None = None
    certainty: float = 0.8

    def keep(self, turns: Sequence[str], counts: Counter[str]) -> bool:
        """Return whether a conversation passes all filters, and count it by the reason."""
        fault = self._fault(turns)
        counts[fault or "kept"] += 1
        return fault is None

    def _fault(self, turns: Sequence[str]) -> str | None:
        if len(turns) < self.limits.min_turns:
            return "too few turns"
        blocked = self._blocked
        if blocked is not None and any(map(blocked.search, turns)):
            return "a word of the list"
        if self.language is not None:
            found, probability = _language_identifier().classify(" ".join(turns)[:LANGUAGE_SAMPLE])
            if found != self.language or probability < self.certainty:
                return "another language"
        return None

    @property
    def _blocked(self) -> re.Pattern[str] | None:
        return _any_of(self.words) if self.words else None

    def check(self) -> None:
        """Raise ValueError for limits that allow nothing, and for an unknown language."""
        self.limits.check()
        if self.language is not None and self.language not in _language_identifier().labels:
            known = ", ".join(sorted(_language_identifier().labels))
            raise ValueError(f"--language {self.language}: allowed are {known}")


@cache
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that matches any of the words, regardless of case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words)))})(?!\w)", re.IGNORECASE)


@cache
def _language_identifier() -> Any:
    """Return an identifier of languages with probabilities; it takes a tenth of a second to load."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
