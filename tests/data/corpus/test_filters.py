"""Filters of conversations."""

from collections import Counter

import pytest

from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.filters import Filters

ENGLISH = ["Where were you yesterday evening?", "I was at home and read a long book about the sea."]
GERMAN = ["Wo warst du gestern Abend?", "Ich war zu Hause und habe ein langes Buch über das Meer gelesen."]


def test_conversations_are_kept_or_counted_by_the_reason() -> None:
    filters = Filters(TurnLimits(min_turns=2), words=("damn", "c++"), language="en")
    counts: Counter[str] = Counter()
    kept = [
        filters.keep(turns, counts)
        for turns in (
            ENGLISH,
            GERMAN,
            ENGLISH[:1],
            ["DAMN it", "Why?"],
            ["damned good", *ENGLISH],
            ["I like C++", "No"],
        )
    ]
    assert kept == [True, False, False, False, True, False]
    assert counts == {"kept": 2, "another language": 1, "too few turns": 1, "a word of the list": 2}


def test_an_unknown_language_and_impossible_limits_are_errors() -> None:
    with pytest.raises(ValueError, match=r"--language english: allowed are .*en"):
        Filters(language="english").check()
    with pytest.raises(ValueError, match=r"--min-turns 5 --max-turns 4: allowed"):
        Filters(TurnLimits(min_turns=5, max_turns=4)).check()
    Filters(language="ja").check()
