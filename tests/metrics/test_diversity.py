"""distinct-n, entropy and sameness, and their influences, compared with plain formulas."""

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
    result = grams(texts, n)
    return -sum(c / len(result) * math.log(c / len(result)) for c in Counter(result).values())


def plain_sameness(texts: list[str], n: int) -> float:
    return sum(texts.count(text) > 1 for text in texts) / len(texts)


FAMILIES = [
    (lambda n: partial(distinct, n=n), plain_distinct),
    (lambda n: partial(entropy, n=n), plain_entropy),
    (lambda n: repeated_share, plain_sameness),
]


@pytest.mark.parametrize(("ours", "plain"), FAMILIES, ids=["distinct", "entropy", "sameness"])
@pytest.mark.parametrize("n", [1, 2])
def test_values_and_influences_equal_those_of_leaving_out_each_unit(
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


def test_a_model_that_always_gives_the_same_reply_has_no_diversity() -> None:
    constant = [["I do not know."]] * 50
    assert repeated_share(constant)[0] == 1.0
    assert distinct(constant, 1)[0] == 4 / 200
    assert entropy(constant, 1)[0] == pytest.approx(math.log(4))
    assert entropy(constant, 4)[0] == 0.0


def test_replies_that_differ_in_case_or_punctuation_are_equal() -> None:
    assert repeated_share([["Yes!"], ["yes"], ["No."]])[0] == pytest.approx(2 / 3)
    assert repeated_share([["!"], ["..."]])[0] == 1.0
    assert repeated_share([["yes"], ["no"]])[0] == 0.0


@pytest.mark.parametrize("units", [[], [[]], [[""], ["?"]]])
def test_without_words_the_value_is_nan(units: Units) -> None:
    assert math.isnan(distinct(units, 1)[0])
    assert math.isnan(entropy(units, 1)[0])
    assert math.isnan(distinct([["one"]], 2)[0])
    assert math.isnan(repeated_share([])[0]) and math.isnan(repeated_share([[]])[0])


def test_a_unit_without_which_nothing_remains_has_the_value_as_influence() -> None:
    value, influences = distinct([["a b a"], [""]], 1)
    assert value == pytest.approx(2 / 3)
    assert influences.mean() == pytest.approx(value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["distinct", "entropy", "sameness"])
def test_the_interval_is_as_wide_as_the_spread_of_new_samples(name: str) -> None:
    # Words follow Zipf's law; some replies are stock phrases. Repeated samples give the true distribution.
    source = np.random.default_rng(0)
    probabilities = 1 / np.arange(1, 2001)
    probabilities /= probabilities.sum()

    def sample() -> list[list[str]]:
        stock = source.random(150) < 0.3
        lengths = np.where(stock, 1, source.integers(2, 9, size=150))
        drawn = np.split(source.choice(2000, size=lengths.sum(), p=probabilities), np.cumsum(lengths)[:-1])
        return [[" ".join(f"w{word}" for word in reply)] for reply in drawn]

    estimators: dict[str, Callable[[Units], Estimate]]
    estimators = {"distinct": partial(distinct, n=1), "entropy": partial(entropy, n=1), "sameness": repeated_share}
    index = estimators[name]
    values = np.array([index(sample())[0] for _ in range(300)])
    covered = mean_width = 0.0
    for _ in range(40):
        value, influences = index(sample())
        metric = Metric(name, np.stack([influences, np.ones(150)], axis=1), ratio)
        [drawn] = resample([metric], resamples=400, seed=1)
        low, high = percentile_interval(drawn)
        assert low < value < high
        covered += low <= values.mean() <= high
        mean_width += (high - low) / 40
    assert covered >= 36
    assert 0.9 < mean_width / np.subtract(*np.percentile(values, [97.5, 2.5])) < 1.6
