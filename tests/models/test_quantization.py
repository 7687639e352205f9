"""Weights in 4 bits are refused before anything is loaded where they are not possible."""

import importlib.util

import pytest
import torch

from convmodel.models.quantization import check_quantization


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^model\.quantize=nf4 freezes the weights; train adapters .*model\.lora\.r"):
        check_quantization("nf4", has_adapters=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^model\.quantize=nf4 needs a GPU with CUDA, and this machine has none"):
        check_quantization("nf4", has_adapters=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^model\.quantize=nf4 needs bitsandbytes: pip install bitsandbytes"):
        check_quantization("nf4", has_adapters=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    check_quantization("nf4", has_adapters=True)
