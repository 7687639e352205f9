"""Samples of other sequences in every epoch: shares, no repetition, equal numbers of batches."""

from collections import Counter

import numpy as np
import pytest

from convmodel.tokens.mixing import MixedSampler, StratifiedSample, largest_share, tokens_of_shares


def lengths_of(count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, count)


@pytest.mark.parametrize(("count", "share"), [(1000, 0.1), (1000, 0.003), (37, 0.5), (10, 1.0)])
def test_a_sample_has_its_tokens_and_returns_only_after_all_others(count: int, share: float) -> None:
    lengths = lengths_of(count)
    tokens = share * lengths.sum()
    sample = StratifiedSample(lengths, tokens=tokens, seed=[1])
    epochs = [sample.epoch(index) for index in range(40)]
    assert len({len(epoch) for epoch in epochs}) == 1
    for epoch in epochs:
        assert len({*epoch.tolist()}) == len(epoch)  # without replacement
        assert bool((lengths[epoch] <= sample.lengths).all())
    assert np.mean([lengths[epoch].sum() for epoch in epochs]) == pytest.approx(tokens, rel=0.05, abs=100)
    passes = count // len(sample)
    seen = Counter(np.concatenate(epochs[:passes]).tolist())
    assert max(seen.values()) == 1 if passes <= 40 else True
    assert len(seen) == min(passes, 40) * len(sample)


def test_every_sequence_is_sampled_in_turn() -> None:
    lengths = lengths_of(103)
    sample = StratifiedSample(lengths, tokens=0.2 * lengths.sum(), seed=[1])
    assert {*np.concatenate([sample.epoch(index) for index in range(6)]).tolist()} == {*range(103)}


def test_a_sample_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = lengths_of(100)
    one, same = (StratifiedSample(lengths, tokens=2000, seed=[1, 1]) for _ in range(2))
    other = StratifiedSample(lengths, tokens=2000, seed=[1, 2])
    for epoch in (3, 0, 7):
        assert same.epoch(epoch).tolist() == one.epoch(epoch).tolist() != other.epoch(epoch).tolist()
    assert one.epoch(0).tolist() != one.epoch(1).tolist()


def test_an_epoch_has_all_of_the_first_set_and_each_share_of_the_others() -> None:
    sets = [lengths_of(300), lengths_of(500, seed=1), lengths_of(400, seed=2)]
    wanted = tokens_of_shares(int(sets[0].sum()), {"a": 0.1, "b": 0.2})
    samples = [
        StratifiedSample(lengths, tokens=wanted[name], seed=[1, number])
        for number, (name, lengths) in enumerate(zip("ab", sets[1:], strict=True))
    ]
    sampler = MixedSampler(sets[0], sets[1:], samples, tokens_per_batch=1000, seed=1)
    everything = np.concatenate(sets)
    number = np.repeat([0, 1, 2], [*map(len, sets)])
    for epoch in range(3):
        batches = sampler.epoch(epoch)
        assert len(batches) == len(sampler)
        assert all(len(batch) * everything[batch].max(initial=0) <= 1000 for batch in batches)
        read = np.concatenate(batches)
        assert len({*read.tolist()}) == len(read)
        assert {*read[number[read] == 0].tolist()} == {*range(300)}
        tokens = [everything[read[number[read] == each]].sum() for each in range(3)]
        assert np.array(tokens) / sum(tokens) == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


def test_the_largest_share_takes_all_tokens() -> None:
    shares = {"a": 0.3, "b": 0.2}
    share = largest_share(1000, "a", 100, shares)
    assert tokens_of_shares(1000, shares | {"a": share})["a"] == pytest.approx(100)
