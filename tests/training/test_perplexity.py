"""Metrics and table of a perplexity report."""

import math

import pytest

from convmodel.metrics.likelihood import TokenCounts
from convmodel.training.perplexity import CorpusStats, PerplexityReport, perplexity_card

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
