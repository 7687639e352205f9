"""distinct-n, entropy and sameness, and their influences, against plain lines."""

import math
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from convmodel.metrics.bootstrap import percentile_interval, resample
from convmodel.metrics.diversity import Estimate, Units, distinct, entropy, repeated_share
from convmodel.metrics.metric import Metric, ratio


def replies(seed: int, count: int, *, vocabulary: str = "abcdefgh") -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choice(vocabulary) for _ in range(source.randint(0, 5))) for _ in range(count)]


def grams(texts: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(t.split()[i : i + n]) for t in texts for i in range(len(t.split()) - n + 1)]


def plain_distinct(texts: list[str], n: int) -> float:
    return len(set(grams(texts, n))) / len(grams(texts, n))


def plain_entropy(texts: list[str], n: int) -> float:
    found = grams(texts, n)
    return -sum(c / len(found) * math.log(c / len(found)) for c in Counter(found).values())


def plain_sameness(texts: list[str], n: int) -> float:
    return sum(texts.count(text) > 1 for text in texts) / len(texts)


FAMILIES = [
    (lambda n: partial(distinct, n=n), plain_distinct),
    (lambda n: partial(entropy, n=n), plain_entropy),
    (lambda n: repeated_share, plain_sameness),
]


@pytest.mark.parametrize(("ours", "plain"), FAMILIES, ids=["distinct", "entropy", "sameness"])
@pytest.mark.parametrize("n", [1, 2])
def test_the_number_and_the_influences_are_those_of_leaving_each_unit_out(
    ours: Callable[[int], Callable[[Units], Estimate]], plain: Callable[[list[str], int], float], n: int
) -> None:
    for seed in range(20):
        texts = replies(seed, 12)
        units = [texts[i : i + 3] for i in range(0, 12, 3)]
        value, influences = ours(n)(units)
        assert value == pytest.approx(plain(texts, n))
        without = [plain([text for other in units if other is not unit for text in other], n) for unit in units]
        pseudo = np.array([4 * value - 3 * one for one in without])
        np.testing.assert_allclose(influences, pseudo - pseudo.mean() + value)


def test_a_model_that_always_says_the_same_is_seen_through() -> None:
    constant = [["I do not know."]] * 50
    assert repeated_share(constant)[0] == 1.0
    assert distinct(constant, 1)[0] == 4 / 200
    assert entropy(constant, 1)[0] == pytest.approx(math.log(4))
    assert entropy(constant, 4)[0] == 0.0


def test_case_and_punctuation_do_not_make_a_reply_another() -> None:
    assert repeated_share([["Yes!"], ["yes"], ["No."]])[0] == pytest.approx(2 / 3)
    assert repeated_share([["!"], ["..."]])[0] == 1.0
    assert repeated_share([["yes"], ["no"]])[0] == 0.0


@pytest.mark.parametrize("units", [[], [[]], [[""], ["?"]]])
def test_without_words_there_is_nothing_to_measure(units: Units) -> None:
    assert math.isnan(distinct(units, 1)[0])
    assert math.isnan(entropy(units, 1)[0])
    assert math.isnan(distinct([["one"]], 2)[0])
    assert math.isnan(repeated_share([])[0]) and math.isnan(repeated_share([[]])[0])


def test_a_unit_without_which_nothing_is_said_has_the_influence_of_the_number() -> None:
    value, influences = distinct([["a b a"], [""]], 1)
    assert value == pytest.approx(2 / 3)
    assert influences.mean() == pytest.approx(value)


@pytest.mark.parametrize("name", ["distinct", "entropy", "sameness"])
def test_the_interval_is_as_wide_as_the_true_spread_of_fresh_samples(name: str) -> None:
    # Words by Zipf's law; some replies are stock phrases. The truth is known: draw the sample again and again.
    source = np.random.default_rng(0)
    chances = 1 / np.arange(1, 2001)
    chances /= chances.sum()

    def sample() -> list[list[str]]:
        stock = source.random(150) < 0.3
        lengths = np.where(stock, 1, source.integers(2, 9, size=150))
        drawn = np.split(source.choice(2000, size=lengths.sum(), p=chances), np.cumsum(lengths)[:-1])
        return [[" ".join(f"w{word}" for word in reply)] for reply in drawn]

    families: dict[str, Callable[[Units], Estimate]]
    families = {"distinct": partial(distinct, n=1), "entropy": partial(entropy, n=1), "sameness": repeated_share}
    number = families[name]
    values = np.array([number(sample())[0] for _ in range(300)])
    covered = wide = 0.0
    for _ in range(40):
        value, influences = number(sample())
        metric = Metric(name, np.stack([influences, np.ones(150)], axis=1), ratio)
        [drawn] = resample([metric], resamples=400, seed=1)
        low, high = percentile_interval(drawn)
        assert low < value < high
        covered += low <= values.mean() <= high
        wide += (high - low) / 40
    assert covered >= 36
    assert 0.9 < wide / np.subtract(*np.percentile(values, [97.5, 2.5])) < 1.6
