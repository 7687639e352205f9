"""Architectures that no test compares: tried once, and left to `generate` where the two ways differ."""

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from convmodel.generation import engine_support
from convmodel.generation.decoders import can_decode
from convmodel.generation.engine_support import TESTED, supports_engine
from tests.generation.architectures import GROUPED


def make(name: str, **options: Any) -> PreTrainedModel:
    torch.manual_seed(3)
    config = AutoConfig.for_model(name, **(GROUPED | options))
    network: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("name", ["arcee", "seed_oss", "ernie4_5"])
def test_an_unknown_architecture_that_agrees_is_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name not in TESTED
    network = make(name)
    tried = Mock(wraps=engine_support._agrees)
    monkeypatch.setattr(engine_support, "_agrees", tried)
    assert supports_engine(network) and supports_engine(network)
    tried.assert_called_once_with(network)


@pytest.mark.parametrize(
    ("name", "options"),
    [("nemotron", {}), ("doge", {"keep_window_size": 2}), ("phimoe", {"sliding_window": 4})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_that_differs_or_fails_is_left_to_generate(name: str, options: dict[str, Any]) -> None:
    network = make(name, **options)
    assert can_decode(network) == (name != "phimoe")  # whose window only the mask has
    assert not supports_engine(network)
