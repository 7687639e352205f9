"""F1 and ROUGE-L against plain loops."""

import random

import pytest

from convmodel.metrics.overlap import common_subsequence, f1, rouge_l


def plain_f1(said: list[str], wanted: list[str]) -> float:
    rest = list(wanted)
    shared = 0
    for word in said:
        if word in rest:
            rest.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def plain_lcs(one: list[str], other: list[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def pairs(seed: int, vocabulary: int) -> list[tuple[list[str], list[str]]]:
    source = random.Random(seed)
    known = [f"w{number}" for number in range(vocabulary)]

    def some() -> list[str]:
        return [source.choice(known) for _ in range(source.randint(0, 90 if source.random() < 0.1 else 9))]

    return [(some(), some()) for _ in range(300)]


@pytest.mark.parametrize("vocabulary", [1, 3, 30])
def test_f1_and_rouge_are_those_of_plain_loops(vocabulary: int) -> None:
    for said, wanted in pairs(vocabulary, vocabulary):
        reply, gold = " ".join(said), ", ".join(wanted)
        assert f1(reply, gold) == pytest.approx(plain_f1(said, wanted))
        longest = plain_lcs(said, wanted)
        assert common_subsequence(said, wanted) == longest
        expected = 2 * longest / (len(said) + len(wanted)) if longest else 0.0
        assert rouge_l(reply, gold) == pytest.approx(expected)


def test_equal_texts_score_one_and_strangers_nothing() -> None:
    assert f1("I like it.", "i LIKE it") == rouge_l("I like it.", "i LIKE it") == 1.0
    assert f1("yes", "no") == rouge_l("yes", "no") == 0.0


def test_the_order_of_words_matters_to_rouge_alone() -> None:
    assert f1("one two three", "three two one") == 1.0
    assert rouge_l("one two three", "three two one") == pytest.approx(1 / 3)


@pytest.mark.parametrize("empty", ["", " ", "!?"])
def test_a_text_without_words_shares_nothing_even_with_its_like(empty: str) -> None:
    for other in (empty, "yes"):
        assert f1(empty, other) == f1(other, empty) == 0.0
        assert rouge_l(empty, other) == rouge_l(other, empty) == 0.0


def test_japanese_is_compared_by_characters() -> None:
    assert f1("元気です", "元気だ") == pytest.approx(2 * 2 / 7)
    assert rouge_l("元気です", "元気だ") == pytest.approx(2 * 2 / 7)
