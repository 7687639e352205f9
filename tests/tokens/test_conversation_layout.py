"""Layout and windows, against oracles that write token for token and try every start."""

import random

import pytest

from convmodel.tokens.conversation_layout import (
    IGNORED,
    TrainOn,
    Window,
    lay_out,
    lay_out_context,
    persona_length,
    place_separators,
    room_for_turns,
    split_into_windows,
    target_turns,
    truncate,
    truncate_with_hysteresis,
)

SEP = 0
TRAIN_ON: list[TrainOn] = ["all", "last", "last_speaker", "first_speaker", "second_speaker"]
SHARES = [0.0, 0.3, 0.5, 1.0]


def random_lengths(source: random.Random) -> list[int]:
    longest = source.choice([3, 10, 40])
    return [source.randint(0, longest) for _ in range(source.randint(1, 12))]


def cost(lengths: list[int]) -> int:
    return sum(length + 1 for length in lengths)


def is_target(train_on: TrainOn, turn: int, turns: int) -> bool:
    """Says for one turn what `targets` says for all."""
    last = turns - 1
    return {
        "all": True,
        "last": turn == last,
        "last_speaker": (last - turn) % 2 == 0,
        "first_speaker": turn % 2 == 0,
        "second_speaker": turn % 2 == 1,
    }[train_on]


def written_out(
    turns: list[list[int]], persona: list[list[int]], persona_type: int, predicted: list[bool]
) -> list[tuple[int, int, int]]:
    """The layout, one (id, type, label) after the other: each separator stands before what it opens."""
    tokens = []
    for sentence in persona:
        tokens += [(SEP, persona_type, IGNORED)] + [(i, persona_type, IGNORED) for i in sentence]
    ends_predicted = False
    for number, turn in enumerate(turns):
        kind = number % 2
        tokens.append((SEP, kind, SEP if ends_predicted else IGNORED))
        tokens += [(i, kind, i if predicted[number] else IGNORED) for i in turn]
        ends_predicted = predicted[number]
    return [*tokens, (SEP, len(turns) % 2, SEP if ends_predicted else IGNORED)]


# lay_out


def test_the_picture_in_the_docstring_is_what_comes_out() -> None:
    laid_out = lay_out([[11], [21, 22, 23]], SEP, persona=[[1, 2, 3]], predicted=[False, True])
    assert laid_out.input_ids == [SEP, 1, 2, 3, SEP, 11, SEP, 21, 22, 23, SEP]
    assert laid_out.token_type_ids == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert laid_out.labels == [IGNORED] * 7 + [21, 22, 23, SEP]


@pytest.mark.parametrize("seed", range(50))
def test_the_layout_is_what_writing_it_out_token_by_token_gives(seed: int) -> None:
    source = random.Random(seed)
    turns = [[source.randint(1, 99) for _ in range(n)] for n in random_lengths(source)]
    persona = [[source.randint(1, 99) for _ in range(source.randint(0, 4))] for _ in range(source.randint(0, 3))]
    predicted = [source.random() < 0.5 for _ in turns]
    kind = source.randint(0, 1)
    laid_out = lay_out(turns, SEP, persona=persona, persona_type=kind, predicted=predicted)
    expected = written_out(turns, persona, kind, predicted)
    assert list(zip(laid_out.input_ids, laid_out.token_type_ids, laid_out.labels, strict=True)) == expected


def test_without_a_word_about_it_nothing_is_predicted_and_the_persona_is_of_the_one_who_replies() -> None:
    for turns in ([[1]], [[1], [2]], [[1], [2], [3]]):
        laid_out = lay_out(turns, SEP, persona=[[9]])
        assert set(laid_out.labels) == {IGNORED}
        assert laid_out.token_type_ids[0] == laid_out.token_type_ids[-1] == len(turns) % 2


def test_separators_end_each_segment_and_lead_the_first_one_unless_the_segments_continue_a_layout() -> None:
    context = place_separators([[1, 2], [3]], SEP)
    assert context == [SEP, 1, 2, SEP, 3, SEP]
    assert context + place_separators([[4]], SEP, leading=False) == place_separators([[1, 2], [3], [4]], SEP)


# lay_out_context


@pytest.mark.parametrize("keep", [0.3, 1.0])
@pytest.mark.parametrize("seed", range(50))
def test_a_context_is_the_layout_of_the_turns_that_truncation_leaves(seed: int, keep: float) -> None:
    source = random.Random(seed)
    turns = [[source.randint(1, 99) for _ in range(n)] for n in random_lengths(source)]
    persona = [[source.randint(1, 99) for _ in range(2)] for _ in range(source.randint(0, 2))]
    reserved = source.randint(0, 5)
    room = source.randint(2, 60)
    max_length = room + persona_length(persona) + 1 + reserved
    laid_out, window = lay_out_context(turns, SEP, persona=persona, max_length=max_length, reserved=reserved, keep=keep)
    assert window == truncate_with_hysteresis([len(turn) for turn in turns], room, keep=keep)
    kept = turns[window.first :]
    kept[-1] = kept[-1][window.cut :]
    assert laid_out == lay_out(kept, SEP, persona=persona)
    assert len(laid_out.input_ids) + reserved <= max_length


def test_a_context_without_a_limit_keeps_all_its_turns() -> None:
    turns = [[1], [2, 3], []]
    assert lay_out_context(turns, SEP) == (lay_out(turns, SEP), Window(0, 0, 3))


def test_a_context_needs_room_for_a_turn_beside_persona_and_reserved_tokens() -> None:
    lay_out_context([[1]], SEP, persona=[[2, 3]], max_length=9, reserved=3)
    with pytest.raises(ValueError, match="at least 9 tokens"):
        lay_out_context([[1]], SEP, persona=[[2, 3]], max_length=8, reserved=3)


# fit


@pytest.mark.parametrize("seed", range(200))
def test_fit_takes_the_longest_run_of_newest_turns_and_cuts_only_a_newest_turn_that_is_too_long(seed: int) -> None:
    source = random.Random(seed)
    lengths, room = random_lengths(source), source.randint(2, 60)
    stop = source.randint(1, len(lengths))
    fitting = [first for first in range(stop) if cost(lengths[first:stop]) <= room]
    if fitting:
        assert truncate(lengths, room, stop=stop) == Window(min(fitting), stop - 1, stop)
    else:
        assert truncate(lengths, room, stop=stop) == Window(stop - 1, stop - 1, stop, cut=lengths[stop - 1] + 1 - room)


# room_for_turns


def test_room_is_what_persona_and_last_separator_leave() -> None:
    persona = [[1, 2], [3]]
    assert persona_length(persona) == 5
    assert room_for_turns(5, 20) == 20 - 5 - 1
    assert room_for_turns(5, 8) == 2
    with pytest.raises(ValueError, match=r"^7 tokens leave no room .* persona's 5 tokens.* at least 8 tokens$"):
        room_for_turns(5, 7)
    with pytest.raises(ValueError, match="at least 16 tokens"):
        room_for_turns(5, 15, min_room=10)


# targets


@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_targets_are_the_turns_that_the_choice_names(train_on: TrainOn) -> None:
    for turns in range(1, 9):
        assert list(target_turns(train_on, turns)) == [t for t in range(turns) if is_target(train_on, t, turns)]


def test_an_unknown_choice_is_told_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="train_on='most'; allowed are all, last, last_speaker"):
        target_turns("most", 3)  # type: ignore[arg-type]


# windows


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_every_target_turn_is_predicted_in_exactly_one_window_that_fits(train_on: TrainOn, share: float) -> None:
    source = random.Random(f"{train_on} {share}")
    several = 0
    for _ in range(300):
        lengths, room = random_lengths(source), source.randint(2, 60)
        found = split_into_windows(lengths, room, train_on=train_on, context_share=share)
        wanted = [t for t in range(len(lengths)) if is_target(train_on, t, len(lengths))]
        predicted = [t for w in found for t in range(w.predict_from, w.stop) if t in wanted]
        assert predicted == wanted
        for window in found:
            assert 0 <= window.first <= window.predict_from < window.stop <= len(lengths)
            assert cost(lengths[window.first : window.stop]) - window.cut <= room
            assert window.cut == 0 or window.stop - window.first == 1
            assert window.predict_from in wanted and window.stop - 1 in wanted
        several += len(found) > 1
    assert several or train_on == "last"


@pytest.mark.parametrize("train_on", TRAIN_ON)
def test_at_share_1_each_further_window_predicts_one_turn_with_the_longest_context_that_fits(
    train_on: TrainOn,
) -> None:
    source = random.Random(train_on)
    for _ in range(300):
        lengths, room = random_lengths(source), source.randint(2, 60)
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


def test_at_share_0_no_turn_is_read_twice_unless_room_is_left() -> None:
    assert split_into_windows([4] * 6, 10, context_share=0.0) == [Window(0, 0, 2), Window(2, 2, 4), Window(4, 4, 6)]
    assert split_into_windows([4] * 5, 10, context_share=0.0) == [Window(0, 0, 2), Window(2, 2, 4), Window(3, 4, 5)]


def test_at_share_one_half_a_further_window_is_half_context() -> None:
    assert split_into_windows([4] * 8, 20, context_share=0.5) == [Window(0, 0, 4), Window(2, 4, 6), Window(4, 6, 8)]


def test_a_turn_longer_than_a_window_is_cut_and_stands_alone() -> None:
    assert split_into_windows([2, 30, 2], 10, context_share=0.0) == [
        Window(0, 0, 1),
        Window(1, 1, 2, cut=21),
        Window(2, 2, 3),
    ]


def test_turns_that_are_not_predicted_fill_what_is_left_of_the_first_window() -> None:
    assert split_into_windows([9, 3, 3, 3], 9, train_on="last") == [Window(2, 3, 4)]
    assert split_into_windows([9, 3, 3, 3], 13, train_on="second_speaker", context_share=1.0) == [Window(1, 1, 4)]


# fit_in_steps


@pytest.mark.parametrize("seed", range(100))
def test_keeping_everything_is_the_window_of_fit(seed: int) -> None:
    source = random.Random(seed)
    lengths, room = random_lengths(source) * source.randint(1, 4), source.randint(2, 60)
    assert truncate_with_hysteresis(lengths, room, keep=1.0) == truncate(lengths, room)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.5, 0.75, 1.0])
def test_a_window_in_steps_fits_moves_forward_only_and_leaves_the_share_when_it_moves(keep: float) -> None:
    """The oracle: turn by turn, a window stays where it is while it fits, and is set anew in a part of the room."""
    source = random.Random(f"{keep}")
    for _ in range(300):
        lengths, room = random_lengths(source) * source.randint(1, 5), source.randint(2, 60)
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


def test_a_conversation_that_grows_is_read_from_its_beginning_again_only_now_and_then() -> None:
    """Counted in tokens that are read when what was read before the first change stays valid."""
    source = random.Random(0)
    lengths = [source.randint(3, 20) for _ in range(400)]
    room = 300
    moves, read = {}, {}
    for keep in (1.0, 0.5):
        firsts = [truncate_with_hysteresis(lengths[:stop], room, keep=keep).first for stop in range(1, 401)]
        moved = [n for n in range(1, 400) if firsts[n] != firsts[n - 1]]
        moves[keep] = len(moved)
        read[keep] = sum(cost(lengths[firsts[n] : n + 1]) if n in moved else lengths[n] + 1 for n in range(400))
        assert firsts == sorted(firsts)
    assert moves[1.0] > 200 and moves[0.5] < 40  # once in about room / 2 new tokens
    assert read[0.5] < 2.1 * cost(lengths) and read[1.0] > 10 * cost(lengths)
