"""Seeds made of several numbers."""

import torch

from convmodel.generation.request import derive_seed


def test_a_seed_changes_with_each_of_its_parts() -> None:
    parts = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (11, 1), (1, 11), (0, 0, 1)]
    seeds = [derive_seed(run, *each) for run in ("1", "2", "0") for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert seeds[-len(parts) :] == [derive_seed("0", *each) for each in parts]


def test_seeds_of_neighbouring_steps_are_unrelated_and_valid_for_torch() -> None:
    seeds = [derive_seed("1", 0, step, 0) for step in range(2000)]
    assert len(set(seeds)) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    for bit in range(63):
        assert 850 < sum(seed >> bit & 1 for seed in seeds) < 1150  # each bit is a fair coin, within 6.7 sigma
    torch.manual_seed(max(seeds))


def test_a_seed_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert derive_seed("1", 3, 14, 1) == 8861764384418392011
