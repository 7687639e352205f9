"""Seeds from numbers."""

import torch

from convmodel.seeds import mixed


def test_a_seed_depends_on_each_part_and_on_their_order() -> None:
    parts: list[tuple[int | str, ...]] = [(), (0,), (1,), ("1",), (0, 0), (0, 1), (1, 0), (11, 1), (1, 11)]
    assert len({mixed(*each) for each in parts}) == len(parts)


def test_seeds_of_neighbours_are_ones_that_torch_takes_and_share_no_bits() -> None:
    seeds = [mixed(0, number) for number in range(2000)]
    assert len(set(seeds)) == 2000 and all(0 <= seed < 2**63 for seed in seeds)
    assert all(850 < sum(seed >> bit & 1 for seed in seeds) < 1150 for bit in range(63))
    torch.manual_seed(max(seeds))


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert mixed(0, 1, 2) == 1772749440416956875
