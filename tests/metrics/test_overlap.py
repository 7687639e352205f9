"""F1 and ROUGE-L, compared with plain loops."""

import random

import pytest

from convmodel.metrics.overlap import common_subsequence, f1, rouge_l


def plain_f1(reply: list[str], gold: list[str]) -> float:
    rest = list(gold)
    shared = 0
    for word in reply:
        if word in rest:
            rest.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision = shared / len(reply)
    recall = shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def plain_lcs(first: list[str], second: list[str]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def pairs(seed: int, vocabulary: int) -> list[tuple[list[str], list[str]]]:
    source = random.Random(seed)
    known_words = [f"w{index}" for index in range(vocabulary)]

    def random_words() -> list[str]:
        return [source.choice(known_words) for _ in range(source.randint(0, 90 if source.random() < 0.1 else 9))]

    return [(random_words(), random_words()) for _ in range(300)]


@pytest.mark.parametrize("vocabulary", [1, 3, 30])
def test_f1_and_rouge_l_equal_plain_loops(vocabulary: int) -> None:
    for reply_words, gold_words in pairs(vocabulary, vocabulary):
        reply = " ".join(reply_words)
        gold = ", ".join(gold_words)
        assert f1(reply, gold) == pytest.approx(plain_f1(reply_words, gold_words))
        longest = plain_lcs(reply_words, gold_words)
        assert common_subsequence(reply_words, gold_words) == longest
        expected = 2 * longest / (len(reply_words) + len(gold_words)) if longest else 0.0
        assert rouge_l(reply, gold) == pytest.approx(expected)


def test_equal_texts_score_one_and_disjoint_texts_zero() -> None:
    assert f1("I like it.", "i LIKE it") == rouge_l("I like it.", "i LIKE it") == 1.0
    assert f1("yes", "no") == rouge_l("yes", "no") == 0.0


def test_only_rouge_l_depends_on_the_order_of_words() -> None:
    assert f1("one two three", "three two one") == 1.0
    assert rouge_l("one two three", "three two one") == pytest.approx(1 / 3)


@pytest.mark.parametrize("empty", ["", " ", "!?"])
def test_texts_without_words_score_zero_even_if_they_are_equal(empty: str) -> None:
    for other in (empty, "yes"):
        assert f1(empty, other) == f1(other, empty) == 0.0
        assert rouge_l(empty, other) == rouge_l(other, empty) == 0.0


def test_japanese_is_compared_by_characters() -> None:
    assert f1("元気です", "元気だ") == pytest.approx(2 * 2 / 7)
    assert rouge_l("元気です", "元気だ") == pytest.approx(2 * 2 / 7)
