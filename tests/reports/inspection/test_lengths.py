"""Histograms, windows and padding, against loops over single values and over laid-out conversations."""

import random

import numpy as np
import pytest

from convmodel.data.conversation import Conversation
from convmodel.reports.inspection import lengths as module
from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.lengths import (
    Lengths,
    WindowTally,
    budget_padding,
    cut_turns,
    padding_share,
    random_padding,
    round_edges,
)
from convmodel.tokens.batching import TokenBudgetSampler, pad
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.turn_windows import room_for_turns, split_into_windows


def lengths_of(values: list[int]) -> Lengths:
    lengths = Lengths()
    for start in range(0, len(values), 7):
        lengths.add(np.array(values[start : start + 7]))
    return lengths


def test_counts_means_and_quantiles_are_those_of_the_sorted_values() -> None:
    source = random.Random(1)
    values = [source.randint(0, 90) for _ in range(501)]
    lengths = lengths_of(values)
    assert (len(lengths), lengths.total, lengths.longest) == (501, sum(values), max(values))
    assert lengths.mean == pytest.approx(sum(values) / 501)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        enough = [v for v in sorted(values) if sum(x <= v for x in values) >= share * 501]
        assert lengths.quantile(share) == enough[0]
    assert lengths.between([41]) == [sum(v > 40 for v in values)]
    edges = [0, 5, 20, 21, 60, 200]
    wanted = [sum(a <= v < b for v in values) for a, b in zip(edges, [*edges[1:], 10**9], strict=True)]
    assert lengths.between(edges) == wanted


def test_an_empty_histogram_has_statistics() -> None:
    lengths = Lengths()
    lengths.add(np.zeros(0, dtype=np.int64))
    assert (len(lengths), lengths.mean, lengths.quantile(0.5), lengths.between([0, 3])) == (0, 0.0, 0, [0, 0])
    assert budget_padding(lengths, tokens_per_batch=10) == random_padding(lengths) == 0.0


def test_very_long_lengths_share_a_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 100)
    lengths = lengths_of([3, 99, 100, 5000])
    assert len(lengths.counts) == 101 and lengths.between([100]) == [2]
    assert (lengths.longest, lengths.total) == (5000, 5202)


@pytest.mark.parametrize("longest", [1, 7, 8, 9, 99, 100, 1234])
def test_edges_are_round_few_and_reach_the_longest(longest: int) -> None:
    edges = round_edges(longest, max_bins=8)
    width = edges[1] - edges[0] if len(edges) > 1 else longest + 1
    assert len(edges) <= 8 and edges[-1] <= longest < edges[-1] + width
    assert str(width).rstrip("0") in ("1", "2", "5") or len(edges) == 1


def random_chunk(source: random.Random) -> tuple[Chunk, np.ndarray]:
    """Conversations of letters, one token each."""
    said = [
        Conversation(
            ["x" * source.choice([1, 4, 30]) for _ in range(source.randint(2, 9))],
            ["p" * source.choice([1, 6]) for _ in range(source.choice([0, 0, 1, 4]))],
        )
        for _ in range(60)
    ]
    chunk = Chunk(said, np.arange(1, 61))
    return chunk, np.array([len(text) for text in chunk.texts])


def test_windows_are_those_of_training() -> None:
    chunk, tokens = random_chunk(random.Random(2))
    tally = WindowTally(24)
    roomless = tally.add(chunk, tokens)
    wanted = []
    cut = 0
    without = []
    for index, conversation in enumerate(chunk.conversations):
        persona = [[1] * len(sentence) for sentence in conversation.persona]
        turns = [[1] * len(turn) for turn in conversation.turns]
        try:
            room = room_for_turns(sum(len(p) + 1 for p in persona), 24)
        except ValueError:
            without.append(index)
            continue
        for window in split_into_windows([len(turn) for turn in turns], room):
            kept = turns[window.first : window.stop]
            kept[-1] = kept[-1][window.cut :]
            wanted.append(len(SeparatorLayout(0).lay_out(kept, persona=persona).input_ids))
            cut += window.cut > 0
    assert without and roomless == without
    assert sorted(np.repeat(np.arange(len(tally.lengths.counts)), tally.lengths.counts)) == sorted(wanted)
    owners = [chunk.owners[segment] for segment in cut_turns(chunk, tokens, max_length=24)]
    assert sum(owner not in without for owner in owners) == cut > 0


def test_the_share_of_padding_is_that_of_padded_batches() -> None:
    source = random.Random(3)
    values = [source.randint(2, 40) for _ in range(200)]
    sampler = TokenBudgetSampler(values, tokens_per_batch=90, shuffle=True)
    batches = sampler.epoch(0)
    rows = [SeparatorLayout(1).lay_out([[7] * (value - 2)]) for value in values]
    padded = useful = 0
    for batch in batches:
        ids = pad([rows[int(n)] for n in batch], pad_token_id=-1)["input_ids"]
        padded += int((ids == -1).sum())
        useful += int((ids != -1).sum())
    assert padded > 0
    share = padded / (padded + useful)
    assert padding_share(np.array(values), batches) == pytest.approx(share)
    assert budget_padding(lengths_of(values), tokens_per_batch=90) == pytest.approx(share, abs=0.02)
    assert budget_padding(lengths_of(values), tokens_per_batch=90) < random_padding(lengths_of(values)) < 0.6


def test_windows_of_one_length_need_no_padding() -> None:
    assert budget_padding(lengths_of([9] * 50), tokens_per_batch=64) == random_padding(lengths_of([9] * 50)) == 0.0


def test_padding_of_a_sample_of_windows_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(4)
    lengths = lengths_of([source.randint(2, 40) for _ in range(20_000)])
    whole = random_padding(lengths), budget_padding(lengths, tokens_per_batch=512)
    monkeypatch.setattr(module, "MAX_WINDOWS", 2_000)
    assert len(module.sample_lengths(lengths)) < 2_500
    assert (random_padding(lengths), budget_padding(lengths, tokens_per_batch=512)) == pytest.approx(whole, abs=0.02)
