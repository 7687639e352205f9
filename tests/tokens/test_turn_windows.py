"""Windows of turns, compared with oracles that try every start."""

import random

import pytest

from convmodel.tokens.turn_windows import (
    LayoutCosts,
    TrainOn,
    Window,
    room_for_turns,
    split_into_windows,
    target_turns,
    truncate,
    truncate_with_hysteresis,
)

TRAIN_ON: list[TrainOn] = ["all", "last", "last_speaker", "first_speaker", "second_speaker"]
SHARES = [0.0, 0.3, 0.5, 1.0]


def random_lengths(source: random.Random) -> list[int]:
    longest = source.choice([3, 10, 40])
    return [source.randint(0, longest) for _ in range(source.randint(1, 12))]


def cost(lengths: list[int]) -> int:
    return sum(length + 1 for length in lengths)


def is_target(train_on: TrainOn, turn: int, turns: int) -> bool:
    """Return whether `target_turns` should contain a turn."""
    last = turns - 1
    return {
        "all": True,
        "last": turn == last,
        "last_speaker": (last - turn) % 2 == 0,
        "first_speaker": turn % 2 == 0,
        "second_speaker": turn % 2 == 1,
    }[train_on]


# truncate


@pytest.mark.parametrize("seed", range(200))
def test_truncation_keeps_as_many_newest_turns_as_fit_and_cuts_only_a_single_turn(seed: int) -> None:
    source = random.Random(seed)
    lengths = random_lengths(source)
    room = source.randint(2, 60)
    stop = source.randint(1, len(lengths))
    fitting = [first for first in range(stop) if cost(lengths[first:stop]) <= room]
    if fitting:
        assert truncate(lengths, room, stop=stop) == Window(min(fitting), stop - 1, stop)
    else:
        assert truncate(lengths, room, stop=stop) == Window(stop - 1, stop - 1, stop, cut=lengths[stop - 1] + 1 - room)


# room_for_turns


def test_room_for_turns_excludes_the_persona_and_the_last_separator() -> None:
    persona = [[1, 2], [3]]
    assert LayoutCosts().persona_length(persona) == 5
    assert room_for_turns(5, 20) == 20 - 5 - 1
    assert room_for_turns(5, 8) == 2
    with pytest.raises(ValueError, match=r"^7 tokens leave no room .* persona's 5 tokens.* at least 8 tokens$"):
        room_for_turns(5, 7)
    with pytest.raises(ValueError, match="at least 16 tokens"):
        room_for_turns(5, 15, min_room=10)


# target_turns


@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_target_turns_are_those_of_train_on(train_on: TrainOn) -> None:
    for turns in range(1, 9):
        assert list(target_turns(train_on, turns)) == [t for t in range(turns) if is_target(train_on, t, turns)]


def test_an_unknown_train_on_is_an_error_with_the_allowed_values() -> None:
    with pytest.raises(ValueError, match="train_on='most'; allowed are all, last, last_speaker"):
        target_turns("most", 3)  # type: ignore[arg-type]


# split_into_windows


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_every_target_turn_is_predicted_in_exactly_one_window_that_fits(train_on: TrainOn, share: float) -> None:
    source = random.Random(f"{train_on} {share}")
    multiple = 0
    for _ in range(300):
        lengths = random_lengths(source)
        room = source.randint(2, 60)
        windows = split_into_windows(lengths, room, train_on=train_on, context_share=share)
        targets = [t for t in range(len(lengths)) if is_target(train_on, t, len(lengths))]
        predicted = [t for w in windows for t in range(w.predict_from, w.stop) if t in targets]
        assert predicted == targets
        for window in windows:
            assert 0 <= window.first <= window.predict_from < window.stop <= len(lengths)
            assert cost(lengths[window.first : window.stop]) - window.cut <= room
            assert window.cut == 0 or window.stop - window.first == 1
            assert window.predict_from in targets and window.stop - 1 in targets
        multiple += len(windows) > 1
    assert multiple or train_on == "last"


@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_at_share_1_each_later_window_predicts_one_turn_with_the_longest_context(
    train_on: TrainOn,
) -> None:
    source = random.Random(train_on)
    for _ in range(300):
        lengths = random_lengths(source)
        room = source.randint(2, 60)
        for window in split_into_windows(lengths, room, train_on=train_on, context_share=1.0)[1:]:
            newest = window.stop - 1
            starts = [first for first in range(newest + 1) if cost(lengths[first : newest + 1]) <= room]
            assert window.predict_from == newest
            assert window.first == min(starts, default=newest)


@pytest.mark.parametrize("share", SHARES)
def test_a_conversation_that_fits_is_one_window(share: float) -> None:
    source = random.Random(1)
    for _ in range(100):
        lengths = random_lengths(source)
        assert split_into_windows(lengths, cost(lengths), context_share=share) == [Window(0, 0, len(lengths))]


def test_at_share_0_turns_are_repeated_only_where_room_is_left() -> None:
    assert split_into_windows([4] * 6, 10, context_share=0.0) == [Window(0, 0, 2), Window(2, 2, 4), Window(4, 4, 6)]
    assert split_into_windows([4] * 5, 10, context_share=0.0) == [Window(0, 0, 2), Window(2, 2, 4), Window(3, 4, 5)]


def test_at_share_one_half_later_windows_are_half_context() -> None:
    assert split_into_windows([4] * 8, 20, context_share=0.5) == [Window(0, 0, 4), Window(2, 4, 6), Window(4, 6, 8)]


def test_a_turn_longer_than_a_window_is_cut_and_has_its_own_window() -> None:
    assert split_into_windows([2, 30, 2], 10, context_share=0.0) == [
        Window(0, 0, 1),
        Window(1, 1, 2, cut=21),
        Window(2, 2, 3),
    ]


def test_unpredicted_turns_fill_the_rest_of_the_first_window() -> None:
    assert split_into_windows([9, 3, 3, 3], 9, train_on="last") == [Window(2, 3, 4)]
    assert split_into_windows([9, 3, 3, 3], 13, train_on="second_speaker", context_share=1.0) == [Window(1, 1, 4)]


# truncate_with_hysteresis


@pytest.mark.parametrize("seed", range(100))
def test_hysteresis_with_keep_1_is_plain_truncation(seed: int) -> None:
    source = random.Random(seed)
    lengths = random_lengths(source) * source.randint(1, 4)
    room = source.randint(2, 60)
    assert truncate_with_hysteresis(lengths, room, keep=1.0) == truncate(lengths, room)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.5, 0.75, 1.0])
def test_a_window_with_hysteresis_moves_only_when_full_and_then_keeps_the_share(keep: float) -> None:
    """The oracle keeps the start of a window while the turns fit, else fits the newest turns into the share `keep`."""
    source = random.Random(f"{keep}")
    for _ in range(300):
        lengths = random_lengths(source) * source.randint(1, 5)
        room = source.randint(2, 60)
        first = 0
        for stop in range(1, len(lengths) + 1):
            window = truncate_with_hysteresis(lengths[:stop], room, keep=keep)
            if cost(lengths[first:stop]) > room:
                limit = int(room * keep)
                fitting = [n for n in range(stop) if cost(lengths[n:stop]) <= limit]
                alone = [n for n in range(stop) if cost(lengths[n:stop]) <= lengths[stop - 1] + 1]
                first = min(fitting or alone)
            assert (window.first, window.predict_from, window.stop) == (first, stop - 1, stop)
            assert cost(lengths[window.first : stop]) - window.cut == min(room, cost(lengths[first:stop]))
            assert window.cut == 0 or window.first == stop - 1


def test_hysteresis_keeps_most_of_the_prefix_of_a_growing_conversation_valid() -> None:
    """Count the tokens to read if a cached prefix stays valid until the start of the window moves."""
    source = random.Random(0)
    lengths = [source.randint(3, 20) for _ in range(400)]
    room = 300
    moves = {}
    tokens_read = {}
    for keep in (1.0, 0.5):
        firsts = [truncate_with_hysteresis(lengths[:stop], room, keep=keep).first for stop in range(1, 401)]
        moved = [n for n in range(1, 400) if firsts[n] != firsts[n - 1]]
        moves[keep] = len(moved)
        tokens_read[keep] = sum(cost(lengths[firsts[n] : n + 1]) if n in moved else lengths[n] + 1 for n in range(400))
        assert firsts == sorted(firsts)
    assert moves[1.0] > 200 and moves[0.5] < 40  # once per about room / 2 new tokens
    assert tokens_read[0.5] < 2.1 * cost(lengths) and tokens_read[1.0] > 10 * cost(lengths)
