"""Memory of keys and values: sizes, growth and copies."""

from pathlib import Path

import pytest
import torch

from convmodel.generation.kv_cache import RESERVED, KVCache


def test_a_layer_has_the_shape_and_type_of_its_own_keys() -> None:
    cache = KVCache(3, 40, torch.device("cpu"))
    for index, (heads, width, dtype) in enumerate([(2, 8, torch.float32), (1, 16, torch.bfloat16)]):
        new = torch.ones(5, heads, width, dtype=dtype)
        keys, values = cache.layer(index, new, new[..., : width // 2])
        assert keys.shape[:2] == (3, heads) and keys.shape[2] > 40 and keys.shape[3] == width
        assert values.shape[3] == width // 2 and keys.dtype == values.dtype == dtype
        assert cache.layer(index, new, new) == (keys, values)


def test_growing_keeps_what_was_written() -> None:
    cache = KVCache(2, 4 * RESERVED, torch.device("cpu"))
    cache.positions = RESERVED  # as on a GPU
    new = torch.ones(1, 2, 4)
    keys, _ = cache.layer(0, new, new)
    keys[1, :, :RESERVED] = torch.arange(RESERVED)[:, None]
    cache.reserve(RESERVED)
    assert cache.layer(0, new, new)[0] is keys
    cache.reserve(RESERVED + 1)
    grown, _ = cache.layer(0, new, new)
    assert cache.positions == 2 * RESERVED < grown.shape[2]
    assert grown[1, :, :RESERVED].equal(keys[1, :, :RESERVED]) and not grown[1, :, RESERVED:].any()
    cache.reserve(4 * RESERVED)
    assert cache.positions == 4 * RESERVED


def test_a_copy_has_the_first_tokens_of_all_layers() -> None:
    cache = KVCache(2, 8, torch.device("cpu"))
    layers = [cache.layer(index, torch.ones(1, 1, 4), torch.ones(1, 1, 4)) for index in range(2)]
    for keys, values in layers:
        keys[0] = 1
        values[0] = 2
    cache.copy(0, 1, 5)
    for keys, values in layers:
        assert keys[1, 0, :, 0].tolist() == [1] * 5 + [0] * (keys.shape[2] - 5)
        assert values[1, :, :5].eq(2).all() and not values[1, :, 5:].any()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process from Linux")
def test_slots_take_memory_only_as_they_fill() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    cache = KVCache(32, 8_192, torch.device("cpu"))
    new = torch.ones(1, 4, 64)
    before = resident()
    keys, values = cache.layer(0, new, new)
    keys[3, :, :10] = values[3, :, :10] = 1.0
    assert keys.nbytes == values.nbytes > 2**28
    assert resident() - before < 2**24
    assert keys.data_ptr() % 64 == 0 and not keys[5, 1, 7_000].any()
