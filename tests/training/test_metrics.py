"""Sums that are divided once, and seeds that are the same everywhere."""

import math
import random
from typing import Any, cast

import pytest
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy, Strategy
from torch import Tensor

from convmodel.metrics.likelihood import TokenCounts
from convmodel.training.metrics import CorpusStats, PerplexityReport, perplexity_card, sum_token_counts


def test_the_loss_is_that_of_all_tokens_and_no_mean_of_means() -> None:
    counts = TokenCounts()
    counts.add(1.0, 1)
    counts.add(9.0, 99)
    assert counts == TokenCounts(10.0, 100)
    assert counts.loss == 0.1
    assert counts.perplexity == math.exp(0.1)


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_does_not_depend_on_how_tokens_are_batched(seed: int) -> None:
    source = random.Random(seed)
    losses = [source.randint(0, 64) / 8 for _ in range(50)]  # sums of eighths are exact
    counts = TokenCounts()
    rest = list(losses)
    while rest:
        size = source.randint(1, 7)
        batch, rest = rest[:size], rest[size:]
        counts.add(sum(batch), len(batch))
        counts.add(0.0, 0)  # an empty batch at the end of a process's share
    assert counts.loss == sum(losses) / 50


def test_no_tokens_have_no_loss_and_no_perplexity() -> None:
    assert math.isnan(TokenCounts().loss)
    assert math.isnan(TokenCounts().perplexity)


@pytest.mark.parametrize(
    ("loss", "perplexity"), [(0.0, 1.0), (700.0, math.exp(700)), (701.0, math.inf), (math.inf, math.inf)]
)
def test_a_perplexity_that_a_float_cannot_hold_is_infinite(loss: float, perplexity: float) -> None:
    assert TokenCounts(loss, 1).perplexity == perplexity


def test_a_loss_that_is_no_number_gives_no_perplexity() -> None:
    assert math.isnan(TokenCounts(math.nan, 3).perplexity)


def test_one_process_has_the_sums_that_it_has() -> None:
    strategy = SingleDeviceStrategy(device="cpu")
    assert sum_token_counts(TokenCounts(1.25, 3), strategy) == TokenCounts(1.25, 3)


class Together:
    """As a strategy of several processes, of which the others have these counts."""

    def __init__(self, *others: TokenCounts) -> None:
        self.root_device = torch.device("cpu")
        self._others = others
        self.calls: list[tuple[torch.dtype, Any]] = []

    def reduce(self, tensor: Tensor, reduce_op: str) -> Tensor:
        self.calls.append((tensor.dtype, reduce_op))
        others = [torch.tensor([each.total, each.tokens], dtype=tensor.dtype) for each in self._others]
        return torch.stack([tensor, *others]).sum(0)


def test_all_processes_have_the_same_sums() -> None:
    mine, others = TokenCounts(0.5, 1), [TokenCounts(3.0, 10), TokenCounts()]
    strategy = Together(*others)
    assert sum_token_counts(mine, cast(Strategy, strategy)) == TokenCounts(3.5, 11)
    assert strategy.calls == [(torch.float64, "sum")]
    assert mine == TokenCounts(0.5, 1)


def test_more_tokens_than_single_precision_can_count_are_counted() -> None:
    many = TokenCounts(0.0, 2**24)
    assert sum_token_counts(many, cast(Strategy, Together(TokenCounts(0.0, 1)))).tokens == 2**24 + 1


COUNTS = TokenCounts(12.0, 6)


def test_the_loss_is_divided_by_tokens_and_by_each_unit() -> None:
    report = PerplexityReport(COUNTS, CorpusStats("documents", 2, {"word": 3, "byte": 24}))
    assert report.metrics == {
        "loss": 2.0,
        "perplexity": pytest.approx(math.exp(2)),
        "perplexity_per_word": pytest.approx(math.exp(4)),
        "perplexity_per_byte": pytest.approx(math.exp(0.5)),
        "bits_per_byte": pytest.approx(0.5 / math.log(2)),
    }
    rows = [line.rsplit(maxsplit=1) for line in report.table().splitlines() if line]
    assert [row[0].strip() for row in rows] == [
        *("documents", "predicted tokens", "loss (nats per token)", "perplexity per token"),
        *("perplexity per word", "perplexity per byte", "bits per byte"),
    ]
    assert [row[1] for row in rows] == ["2", "6", "2.0000", "7.389", "54.598", "1.649", "0.721"]


def test_without_counts_of_the_file_only_tokens_are_reported() -> None:
    report = PerplexityReport(COUNTS)
    assert report.metrics.keys() == {"loss", "perplexity"}
    assert "documents" not in report.table()


def test_a_loss_beyond_all_floats_still_has_a_card() -> None:
    assert perplexity_card(1e6)["validation perplexity (per predicted token)"] == math.exp(700)
