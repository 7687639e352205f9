"""Batches: every sequence once, under the budget, shared out, and resumed after any batch."""

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
)
from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence

SEEDS = range(20)


def random_lengths(source: random.Random) -> list[int]:
    longest = source.choice([1, 5, 60, 500])
    return [source.randint(1, longest) for _ in range(source.randint(0, 200))]


def sampler(lengths: list[int], budget: int, *, shuffle: bool = True, seed: int = 0) -> TokenBudgetSampler:
    return TokenBudgetSampler(lengths, tokens_per_batch=budget, shuffle=shuffle, seed=seed)


def drawn(made: TokenBudgetSampler, epoch: int) -> list[list[int]]:
    return [indices.tolist() for indices in made.epoch(epoch)]


# TokenBudgetSampler


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_epoch_holds_each_sequence_once_within_the_budget(seed: int, shuffle: bool) -> None:
    source = random.Random(seed)
    lengths, budget = random_lengths(source), source.randint(1, 300)
    made = sampler(lengths, budget, shuffle=shuffle)
    for number in range(3):
        batches = drawn(made, number)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        assert len(batches) == len(made)
        for batch in batches:
            assert batch
            assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@pytest.mark.parametrize("seed", SEEDS)
def test_no_batch_has_room_for_the_shortest_of_the_next(seed: int) -> None:
    source = random.Random(seed)
    lengths, budget = random_lengths(source), source.randint(1, 300)
    batches = drawn(sampler(lengths, budget, shuffle=False), 0)
    for one, other in pairwise(batches):
        longest = max(lengths[other[0]], *(lengths[index] for index in one))
        # The shuffle may put the longest of its class into each row, so that is what a row is counted as.
        assert (len(one) + 1) * longest * LENGTH_STEP > budget


def test_without_shuffling_batches_go_from_short_to_long_in_every_epoch() -> None:
    lengths = random_lengths(random.Random(3))
    made = sampler(lengths, 100, shuffle=False)
    order = [lengths[index] for batch in drawn(made, 0) for index in batch]
    assert len(order) > 50
    assert order == sorted(order)
    assert drawn(made, 0) == drawn(made, 1)


def test_epochs_differ_in_their_batches_and_the_order_of_them() -> None:
    made = sampler([7] * 50 + [20] * 50, 60)
    first, second = drawn(made, 0), drawn(made, 1)
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    kinds = [[batch[0] < 50 for batch in batches] for batches in (first, second)]
    assert kinds[0] != kinds[1]


def test_an_epoch_is_the_same_whenever_and_by_whomever_it_is_drawn() -> None:
    lengths = random_lengths(random.Random(0))
    made = sampler(lengths, 100, seed=5)
    third = drawn(made, 3)
    drawn(made, 4)
    assert drawn(made, 3) == third == drawn(sampler(lengths, 100, seed=5), 3)
    assert drawn(sampler(lengths, 100, seed=6), 3) != third


def test_sequences_of_one_length_are_all_shuffled_among_each_other() -> None:
    made = sampler([10] * 40, 40)
    batches = [batch for number in range(200) for batch in drawn(made, number)]
    beside = {frozenset((one, other)) for batch in batches for one in batch for other in batch if one != other}
    assert len(beside) == 40 * 39 // 2  # each pair stood together at some time


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_is_within_one_length_step_in_all_batches_but_those_between_two_classes(seed: int) -> None:
    source = random.Random(seed)
    lengths = [int(source.lognormvariate(4, 0.6)) + 1 for _ in range(5000)]
    total = padded = wider = 0
    for batch in drawn(sampler(lengths, 4000), seed):
        rows = [lengths[index] for index in batch]
        total += sum(rows)
        padded += len(rows) * max(rows)
        wider += max(rows) > LENGTH_STEP * min(rows)
    classes = 1 + np.ceil(np.log(max(lengths)) / np.log(LENGTH_STEP))
    assert wider < classes  # a class begins in the middle of one batch at most
    assert total < padded < 1.05 * total


@pytest.mark.parametrize("world_size", [2, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_shares_are_disjoint_complete_and_of_equally_many_steps(seed: int, world_size: int) -> None:
    source = random.Random(seed)
    lengths, budget = random_lengths(source), source.randint(1, 300)
    whole = drawn(sampler(lengths, budget), 2)
    shares = []
    for rank in range(world_size):
        share = Shard(rank, world_size)
        made = TokenBudgetSampler(lengths, tokens_per_batch=budget, shuffle=True, shard=share)
        shares.append(drawn(made, 2))
        assert len(shares[-1]) == len(made) == -(-len(whole) // world_size)
    # Step by step, the processes read what one would have read.
    together = [batch for step in zip(*shares, strict=True) for batch in step]
    assert together == whole + [[]] * (len(together) - len(whole))
    assert len(together) - len(whole) < world_size


def test_no_sequences_are_no_batches() -> None:
    made = sampler([], 10)
    assert len(made) == 0
    assert made.epoch(0) == []


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_without_a_token_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match=f"tokens_per_batch={budget}; it must be at least 1"):
        sampler([1, 2], budget)


def test_a_sequence_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence 1 has 0 tokens; each must have at least 1"):
        sampler([3, 0, 2], 10)


# pad


def random_row(source: random.Random) -> ConversationSequence:
    length = source.randint(1, 9)
    ids = [source.randint(0, 99) for _ in range(length)]
    labels = [source.choice([i, IGNORED]) for i in ids]
    return ConversationSequence(ids, [source.randint(0, 1) for _ in ids], labels, source.randint(0, length))


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_stands_on_the_right_and_predicts_nothing(seed: int) -> None:
    source = random.Random(seed)
    rows = [random_row(source) for _ in range(source.randint(1, 6))]
    longest = max(len(row.input_ids) for row in rows)
    batch = pad(rows, pad_token_id=77)
    assert list(batch) == ["input_ids", "token_type_ids", "labels", "metadata"]
    assert batch["metadata"].tolist() == [row.metadata for row in rows]
    for name, filler in {"input_ids": 77, "token_type_ids": 0, "labels": IGNORED}.items():
        expected = [getattr(row, name) + [filler] * (longest - len(row.input_ids)) for row in rows]
        assert batch[name].dtype == torch.int64
        assert batch[name].tolist() == expected


def test_no_rows_are_one_row_of_padding() -> None:
    batch = pad([], pad_token_id=7)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[7]],
        "token_type_ids": [[0]],
        "labels": [[IGNORED]],
        "metadata": [0],
    }


# BatchLoader


def loader(*, shuffle: bool = True) -> ResumableDataLoader:
    """A loader of 12 batches, which are the numbers of their sequences."""
    made = sampler([random.Random(i).randint(1, 30) for i in range(60)], 100, shuffle=shuffle)
    return ResumableDataLoader(made, lambda indices: {"input_ids": torch.from_numpy(indices)})


def shown(batch: Batch) -> list[int]:
    numbers: list[int] = batch["input_ids"].tolist()
    return numbers


def read(made: ResumableDataLoader) -> list[list[int]]:
    return [shown(batch) for batch in made]


def epochs(number: int) -> list[list[list[int]]]:
    """What a loader that is never stopped gives."""
    made, found = loader(), []
    for epoch in range(number):
        made.set_epoch(epoch)
        found.append(read(made))
    return found


def test_a_loader_gives_the_batches_of_the_sampler_epoch_by_epoch() -> None:
    first, second = epochs(2)
    assert len(first) == len(loader()) > 8
    assert first != second
    assert first == drawn(sampler([random.Random(i).randint(1, 30) for i in range(60)], 100), 0)


@pytest.mark.parametrize("told", [True, False], ids=["told of the epoch", "not told"])
@pytest.mark.parametrize("stop", range(len(loader()) + 1))
@pytest.mark.parametrize("epoch", [0, 2])
def test_stopped_after_any_batch_a_new_loader_gives_exactly_the_rest(epoch: int, stop: int, told: bool) -> None:
    expected = epochs(epoch + 3)
    first = loader()
    first.set_epoch(epoch)
    running = iter(first)
    assert [shown(next(running)) for _ in range(stop)] == expected[epoch][:stop]

    other = loader()
    other.load_state_dict(first.state_dict())
    if told:
        other.set_epoch(epoch)  # what Lightning says while it restarts; the place knows better
    rest = read(other)
    if stop == len(first):
        epoch += 1
        assert rest == expected[epoch]
    else:
        assert rest == expected[epoch][stop:]

    other.set_epoch(epoch + 1)
    assert read(other) == expected[epoch + 1]


def test_a_loader_can_be_stopped_again_and_again() -> None:
    found: list[list[int]] = []
    state = loader().state_dict()
    while len(found) < len(loader()):
        made = loader()
        made.load_state_dict(state)
        running = iter(made)
        found += [shown(next(running)) for _ in range(min(2, len(made) - len(found)))]
        state = made.state_dict()
    assert found == epochs(1)[0]


def test_a_place_that_was_restored_and_not_yet_used_is_saved_as_it_is() -> None:
    first = loader()
    first.set_epoch(1)
    running = iter(first)
    for _ in range(3):
        next(running)
    second, third = loader(), loader()
    second.load_state_dict(first.state_dict())
    iter(second)
    third.load_state_dict(second.state_dict())
    assert third.state_dict() == first.state_dict() == {"epoch": 1, "batches": 3}
    assert read(third) == epochs(2)[1][3:]


def test_between_two_epochs_the_place_is_the_first_batch_of_the_second() -> None:
    first, other = loader(), loader()
    read(first)
    first.set_epoch(1)
    other.load_state_dict(first.state_dict())
    assert read(other) == epochs(2)[1]


def test_an_epoch_that_was_left_begins_anew() -> None:
    made = loader()
    next(iter(made))
    assert read(made) == epochs(1)[0]


def test_lightning_finds_whom_to_tell_of_an_epoch() -> None:
    made = loader()
    made.batch_sampler.sampler.set_epoch(1)
    assert read(made) == epochs(2)[1]


# batches_by_length


def test_chunks_hold_every_row_once_and_no_more_tokens_than_asked_for() -> None:
    lengths = [5, 1, 9, 2, 2, 30, 7]
    chunks = list(batches_by_length(lengths, max_tokens=10))
    assert sorted(number for chunk in chunks for number in chunk) == list(range(7))
    assert all(len(chunk) == 1 or len(chunk) * max(lengths[n] for n in chunk) <= 10 for chunk in chunks)


def test_batches_by_length_have_a_number_of_rows_or_one_length() -> None:
    lengths = np.array([5, 1, 5, 2, 2, 5])
    assert list(batches_by_length(lengths, max_rows=4)) == [[1, 3, 4, 0], [2, 5]]
    assert list(batches_by_length(lengths, max_rows=2, equal_lengths=True)) == [[1], [3, 4], [0, 2], [5]]
    assert list(batches_by_length([])) == []
