"""Batches: each sequence once, within the token budget, distributed over processes, resumable after any batch."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from convmodel.tokens.batching import (
    LENGTH_STEP,
    Batch,
    ResumableDataLoader,
    Shard,
    TokenBudgetSampler,
    batches_by_length,
    pad,
    steps_taken,
)
from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence

SEEDS = range(20)


def random_lengths(source: random.Random) -> list[int]:
    longest = source.choice([1, 5, 60, 500])
    return [source.randint(1, longest) for _ in range(source.randint(0, 200))]


def sampler(lengths: list[int], budget: int, *, shuffle: bool = True, seed: int = 0) -> TokenBudgetSampler:
    return TokenBudgetSampler(lengths, tokens_per_batch=budget, shuffle=shuffle, seed=seed)


def epoch_batches(batch_sampler: TokenBudgetSampler, epoch: int) -> list[list[int]]:
    return [indices.tolist() for indices in batch_sampler.epoch(epoch)]


# TokenBudgetSampler


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_epoch_holds_each_sequence_once_within_the_budget(seed: int, shuffle: bool) -> None:
    source = random.Random(seed)
    lengths = random_lengths(source)
    budget = source.randint(1, 300)
    batch_sampler = sampler(lengths, budget, shuffle=shuffle)
    for number in range(3):
        batches = epoch_batches(batch_sampler, number)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        assert len(batches) == len(batch_sampler)
        for batch in batches:
            assert batch
            assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@pytest.mark.parametrize("seed", SEEDS)
def test_no_batch_has_room_for_the_first_sequence_of_the_next_batch(seed: int) -> None:
    source = random.Random(seed)
    lengths = random_lengths(source)
    budget = source.randint(1, 300)
    batches = epoch_batches(sampler(lengths, budget, shuffle=False), 0)
    for batch, following in pairwise(batches):
        longest = max(lengths[following[0]], *(lengths[index] for index in batch))
        # The shuffle may put the longest sequence of a length class into any row, so each row counts with that length.
        assert (len(batch) + 1) * longest * LENGTH_STEP > budget


def test_without_shuffling_batches_are_sorted_by_length() -> None:
    lengths = random_lengths(random.Random(3))
    batch_sampler = sampler(lengths, 100, shuffle=False)
    order = [lengths[index] for batch in epoch_batches(batch_sampler, 0) for index in batch]
    assert len(order) > 50
    assert order == sorted(order)
    assert epoch_batches(batch_sampler, 0) == epoch_batches(batch_sampler, 1)


def test_epochs_differ_in_their_batches_and_their_order() -> None:
    batch_sampler = sampler([7] * 50 + [20] * 50, 60)
    first = epoch_batches(batch_sampler, 0)
    second = epoch_batches(batch_sampler, 1)
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    kinds = [[batch[0] < 50 for batch in batches] for batches in (first, second)]
    assert kinds[0] != kinds[1]


def test_an_epoch_depends_only_on_its_number_and_the_seed() -> None:
    lengths = random_lengths(random.Random(0))
    batch_sampler = sampler(lengths, 100, seed=5)
    third = epoch_batches(batch_sampler, 3)
    epoch_batches(batch_sampler, 4)
    assert epoch_batches(batch_sampler, 3) == third == epoch_batches(sampler(lengths, 100, seed=5), 3)
    assert epoch_batches(sampler(lengths, 100, seed=6), 3) != third


def test_all_sequences_of_equal_length_are_shuffled_together() -> None:
    batch_sampler = sampler([10] * 40, 40)
    batches = [batch for number in range(200) for batch in epoch_batches(batch_sampler, number)]
    pairs = {frozenset((a, b)) for batch in batches for a in batch for b in batch if a != b}
    assert len(pairs) == 40 * 39 // 2  # each pair shares some batch


@pytest.mark.parametrize("seed", SEEDS)
def test_only_batches_between_two_length_classes_need_padding_of_more_than_a_step(seed: int) -> None:
    source = random.Random(seed)
    lengths = [int(source.lognormvariate(4, 0.6)) + 1 for _ in range(5000)]
    tokens = padded_tokens = wide_batches = 0
    for batch in epoch_batches(sampler(lengths, 4000), seed):
        rows = [lengths[index] for index in batch]
        tokens += sum(rows)
        padded_tokens += len(rows) * max(rows)
        wide_batches += max(rows) > LENGTH_STEP * min(rows)
    classes = 1 + np.ceil(np.log(max(lengths)) / np.log(LENGTH_STEP))
    assert wide_batches < classes  # a class begins in the middle of one batch at most
    assert tokens < padded_tokens < 1.05 * tokens


def test_without_sequences_there_are_no_batches() -> None:
    batch_sampler = sampler([], 10)
    assert len(batch_sampler) == 0
    assert batch_sampler.epoch(0) == []


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_below_one_token_is_rejected(budget: int) -> None:
    with pytest.raises(ValueError, match=f"tokens_per_batch={budget}; it must be at least 1"):
        sampler([1, 2], budget)


def test_an_empty_sequence_is_rejected() -> None:
    with pytest.raises(ValueError, match="sequence 1 has 0 tokens; each must have at least 1"):
        sampler([3, 0, 2], 10)


# pad


def random_row(source: random.Random) -> ConversationSequence:
    length = source.randint(1, 9)
    ids = [source.randint(0, 99) for _ in range(length)]
    labels = [source.choice([i, IGNORED]) for i in ids]
    return ConversationSequence(ids, [source.randint(0, 1) for _ in ids], labels, source.randint(0, length))


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_is_on_the_right_and_has_no_labels(seed: int) -> None:
    source = random.Random(seed)
    rows = [random_row(source) for _ in range(source.randint(1, 6))]
    longest = max(len(row.input_ids) for row in rows)
    batch = pad(rows, pad_token_id=77)
    assert list(batch) == ["input_ids", "token_type_ids", "labels", "metadata", "texts"]
    assert batch["metadata"].tolist() == [row.metadata for row in rows]
    for name, filler in {"input_ids": 77, "token_type_ids": 0, "labels": IGNORED}.items():
        expected = [getattr(row, name) + [filler] * (longest - len(row.input_ids)) for row in rows]
        assert batch[name].dtype == torch.int64
        assert batch[name].tolist() == expected


def test_an_empty_batch_is_one_row_of_padding() -> None:
    batch = pad([], pad_token_id=7)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[7]],
        "token_type_ids": [[0]],
        "labels": [[IGNORED]],
        "metadata": [0],
        "texts": [[False]],
    }


# BatchLoader


def loader(rank: int = 0, processes: int = 1) -> ResumableDataLoader:
    """Return a loader whose batches contain the indices of their sequences."""
    batch_sampler = sampler([random.Random(i).randint(1, 30) for i in range(60)], 100)
    shard = Shard(rank, processes)
    return ResumableDataLoader(batch_sampler, lambda indices: {"input_ids": torch.from_numpy(indices)}, shard)


def loaders(processes: int) -> list[ResumableDataLoader]:
    return [loader(rank, processes) for rank in range(processes)]


def indices_of(batch: Batch) -> list[int]:
    indices: list[int] = batch["input_ids"].tolist()
    return indices


def read(data_loader: ResumableDataLoader) -> list[list[int]]:
    return [indices_of(batch) for batch in data_loader]


def epochs(count: int) -> list[list[list[int]]]:
    """Return the batches of the first epochs from a loader that never stops."""
    data_loader = loader()
    batches = []
    for epoch in range(count):
        data_loader.set_epoch(epoch)
        batches.append(read(data_loader))
    return batches


def test_a_loader_returns_the_batches_of_its_sampler_epoch_by_epoch() -> None:
    first, second = epochs(2)
    assert len(first) == len(loader()) > 8
    assert first != second
    assert first == epoch_batches(sampler([random.Random(i).randint(1, 30) for i in range(60)], 100), 0)


@pytest.mark.parametrize("set_epoch", [True, False], ids=["with set_epoch", "without"])
@pytest.mark.parametrize("stop", range(len(loader()) + 1))
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_loader_resumed_after_any_batch_returns_exactly_the_rest(epoch: int, stop: int, set_epoch: bool) -> None:
    expected = epochs(epoch + 3)
    stopped = loader()
    stopped.set_epoch(epoch)
    running = iter(stopped)
    assert [indices_of(next(running)) for _ in range(stop)] == expected[epoch][:stop]

    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    if set_epoch:
        resumed.set_epoch(epoch)  # Lightning calls this on a restart; the restored state has precedence
    rest = read(resumed)
    if stop == len(stopped):
        epoch += 1
        assert rest == expected[epoch]
    else:
        assert rest == expected[epoch][stop:]

    resumed.set_epoch(epoch + 1)
    assert read(resumed) == expected[epoch + 1]


def test_a_loader_can_be_resumed_repeatedly() -> None:
    batches: list[list[int]] = []
    state = loader().state_dict()
    while len(batches) < len(loader()):
        data_loader = loader()
        data_loader.load_state_dict(state)
        running = iter(data_loader)
        batches += [indices_of(next(running)) for _ in range(min(2, len(data_loader) - len(batches)))]
        state = data_loader.state_dict()
    assert batches == epochs(1)[0]


def test_a_restored_state_can_be_saved_before_the_next_batch() -> None:
    first = loader()
    first.set_epoch(1)
    running = iter(first)
    for _ in range(3):
        next(running)
    second = loader()
    third = loader()
    second.load_state_dict(first.state_dict())
    iter(second)
    third.load_state_dict(second.state_dict())
    assert third.state_dict() == first.state_dict() == {"epoch": 1, "batches": 3, "of": len(first)}
    assert read(third) == epochs(2)[1][3:]


def test_the_state_between_two_epochs_is_the_start_of_the_second() -> None:
    first = loader()
    second = loader()
    read(first)
    first.set_epoch(1)
    second.load_state_dict(first.state_dict())
    assert read(second) == epochs(2)[1]


def test_an_abandoned_epoch_starts_again() -> None:
    data_loader = loader()
    next(iter(data_loader))
    assert read(data_loader) == epochs(1)[0]


def test_lightning_can_set_the_epoch_of_the_sampler() -> None:
    data_loader = loader()
    data_loader.batch_sampler.sampler.set_epoch(1)
    assert read(data_loader) == epochs(2)[1]


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_processes_read_at_each_step_what_one_process_would_read(processes: int) -> None:
    shards = [read(one) for one in loaders(processes)]
    interleaved = [batch for step in zip(*shards, strict=True) for batch in step]
    batches = epochs(1)[0]
    assert interleaved == batches + [[]] * (len(interleaved) - len(batches))
    assert len(interleaved) - len(batches) < processes
    assert len(loader(0, processes)) == len(shards[0])


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4), (4, 2), (3, 2), (2, 3)])
def test_another_number_of_processes_reads_each_remaining_batch_once(before: int, after: int, steps: int) -> None:
    """Lightning counts the steps, so those counted as taken and those that remain are all steps of an epoch."""
    stopped = loaders(before)
    steps = min(steps, len(stopped[0]))
    running = [iter(one) for one in stopped]
    batches = [indices_of(next(one)) for _ in range(steps) for one in running]
    states = [one.state_dict() for one in stopped]
    assert states == [states[0]] * before
    if steps == len(stopped[0]):
        assert steps_taken(states[0], after) == len(loader(0, after))
        return
    resumed = loaders(after)
    for one in resumed:
        one.load_state_dict(states[0])
    shards = [read(one) for one in resumed]
    rest = [batch for step in zip(*shards, strict=True) for batch in step]
    assert [batch for batch in batches + rest if batch] == epochs(1)[0]
    assert steps_taken(states[0], after) + len(shards[0]) == len(resumed[0])
    assert steps_taken(states[0], before) == steps


def test_a_state_of_an_earlier_version_counts_the_batches_of_one_process() -> None:
    resumed = loader(1, 2)
    resumed.load_state_dict({"epoch": 0, "batches": 2})
    assert read(resumed) == [*epochs(1)[0], []][5::2][: len(resumed) - 2]


# batches_by_length


def test_batches_by_length_contain_each_row_once_within_max_tokens() -> None:
    lengths = [5, 1, 9, 2, 2, 30, 7]
    batches = list(batches_by_length(lengths, max_tokens=10))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 10 for batch in batches)


def test_batches_by_length_are_limited_in_rows_or_of_equal_length() -> None:
    lengths = np.array([5, 1, 5, 2, 2, 5])
    assert list(batches_by_length(lengths, max_rows=4)) == [[1, 3, 4, 0], [2, 5]]
    assert list(batches_by_length(lengths, max_rows=2, equal_lengths=True)) == [[1], [3, 4], [0, 2], [5]]
    assert list(batches_by_length([])) == []
