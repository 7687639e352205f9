"""Settings of an inspection."""

import pytest

from convmodel.reports.inspection.settings import TOKENS_PER_BATCH, VOCABULARY, WINDOW
from tests.reports.inspection.helpers import Inspect, Write
from tests.test_package import ROOT


def test_the_defaults_are_those_of_the_config() -> None:
    config = (ROOT / "config.yaml").read_text(encoding="utf-8")
    for name, value in (("n_positions", WINDOW), ("tokens_per_batch", TOKENS_PER_BATCH), ("vocab_size", VOCABULARY)):
        assert f" {name}: {value}\n" in config


@pytest.mark.parametrize("near", [0.4, 1.1])
def test_a_share_out_of_range_is_rejected(near: float, write: Write, inspect: Inspect) -> None:
    with pytest.raises(ValueError, match=rf"near={near}; allowed are 0.5 .* to 1.0"):
        inspect(write("a", [["a", "b"]]), near=near)
