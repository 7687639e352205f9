"""Repetition, compared with plain loops."""

import random

import pytest

from convmodel.metrics.repetition import count_repeats, count_repeats_from, count_repeats_within, in_last_n


def texts(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choice("abcd") for _ in range(source.randint(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_repeats_within_a_text_are_ngrams_that_occurred_before(n: int) -> None:
    for text in texts(n, 200):
        tokens = text.split()
        grams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
        assert count_repeats_within(text, n) == (sum(gram in grams[:i] for i, gram in enumerate(grams)), len(grams))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_repeats_from_the_context_are_ngrams_that_occur_in_a_turn(n: int) -> None:
    source = random.Random(n)
    for text in texts(n, 200):
        context = texts(source.randint(0, 10**6), source.randint(0, 3))
        padded = [f" {turn} " for turn in context]
        tokens = text.split()
        grams = [" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
        result = sum(any(f" {gram} " in turn for turn in padded) for gram in grams)
        assert count_repeats_from(context, text, n) == (result, len(grams))


def test_an_ngram_does_not_span_two_turns() -> None:
    assert count_repeats_from(["I like", "green tea"], "like green", 2) == (0, 1)
    assert count_repeats_from(["I like green tea"], "LIKE green!", 2) == (1, 1)


def test_a_loop_is_repetition_and_an_empty_text_has_none() -> None:
    assert count_repeats_within("no " * 10, 1) == (9, 10)
    assert count_repeats_within("", 1) == count_repeats_within("alone", 2) == (0, 0)
    assert count_repeats_from([], "yes", 1) == (0, 1)


@pytest.mark.parametrize("window", [1, 3, 128])
def test_recent_tokens_are_found_among_the_last_n(window: int) -> None:
    source = random.Random(window)
    for _ in range(200):
        before = [source.randint(0, 6) for _ in range(source.randint(0, 12))]
        said = [source.randint(0, 6) for _ in range(len(before) + source.randint(0, 1))]
        expected = [token in before[max(0, position - window) : position] for position, token in enumerate(said)]
        assert in_last_n(said, before, window) == expected


def test_a_loop_of_tokens_is_repetition() -> None:
    assert count_repeats([5] * 10, 4) == (6, 7)
    assert count_repeats([1, 2, 3], 4) == count_repeats([], 1) == (0, 0)
