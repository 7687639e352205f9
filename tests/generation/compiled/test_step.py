"""The parts of a compiled step against torch and Python's own functions."""

import math
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional

from convmodel.generation.compiled import step

XS = np.concatenate([np.linspace(-30, 30, 4001), np.geomspace(1e-30, 80, 200), [0.0, -0.0, -200.0, -1e30]])


def test_exponentials_are_within_a_few_units_of_the_last_digit() -> None:
    for x in XS:
        expected = math.exp(max(float(np.float32(x)), -87.0))
        assert float(step.exponential(np.float32(x))) == pytest.approx(expected, rel=3e-7)


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_activations_equal_those_of_torch(name: str) -> None:
    x = torch.tensor(XS, dtype=torch.float32).clamp(-1e4, 1e4)
    expected = functional.silu(x) if name == "silu" else functional.gelu(x, approximate="tanh")
    result = torch.tensor([float(getattr(step, name)(value)) for value in x.numpy()])
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=2e-6)


@pytest.mark.parametrize("size", [1, 7, 64, 200])
@pytest.mark.parametrize("is_rms", [0, 1])
def test_norms_equal_those_of_torch(size: int, is_rms: int) -> None:
    torch.manual_seed(size)
    x, weight, bias = 3 * torch.randn(size) + 1, torch.randn(size), torch.randn(size)
    y = np.empty(size, np.float32)
    step.normalize(x.numpy(), y, weight.data_ptr(), 0 if is_rms else bias.data_ptr(), is_rms, np.float32(1e-5))
    expected = (
        functional.rms_norm(x, [size], weight, 1e-5) if is_rms else functional.layer_norm(x, [size], weight, bias)
    )
    torch.testing.assert_close(torch.from_numpy(y), expected, atol=2e-5, rtol=1e-5)


def test_rotation_turns_each_pair_by_its_angle() -> None:
    angles = torch.linspace(0, 3, 4)
    x = torch.randn(8)
    pairs = torch.complex(x[:4], x[4:]) * torch.polar(torch.ones(4), angles)
    result = x.clone().numpy()
    step.rotate(result, angles.cos().numpy(), angles.sin().numpy())
    torch.testing.assert_close(torch.from_numpy(result), torch.cat([pairs.real, pairs.imag]))


def test_threads_wait_until_the_last_one_has_come() -> None:
    counter = np.zeros(1, np.int64)
    passed: list[int] = []

    def come(turn: int) -> None:
        step._meet(3, counter.ctypes.data, 0)
        passed.append(turn)

    threads = [threading.Thread(target=come, args=(turn,)) for turn in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.05)
    assert not passed
    come(2)
    for thread in threads:
        thread.join(10)
    assert sorted(passed) == [0, 1, 2] and counter[0] == 3
