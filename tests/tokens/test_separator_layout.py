"""Layout of separators, compared with an oracle that writes one token at a time."""

import random

import pytest

from convmodel.errors import PersonaTooLong
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.separator_layout import SeparatorLayout, lay_out_context, place_separators
from convmodel.tokens.turn_windows import Window, truncate_with_hysteresis

SEP = 0
LAYOUT = SeparatorLayout(SEP)


def random_lengths(source: random.Random) -> list[int]:
    longest = source.choice([3, 10, 40])
    return [source.randint(0, longest) for _ in range(source.randint(1, 12))]


def plain_layout(
    turns: list[list[int]], persona: list[list[int]], persona_type: int, predicted: list[bool]
) -> list[tuple[int, int, int]]:
    """Return the layout token by token as (id, type, label): a separator precedes each segment."""
    tokens = []
    for sentence in persona:
        tokens += [(SEP, persona_type, IGNORED)] + [(i, persona_type, IGNORED) for i in sentence]
    previous_predicted = False
    for number, turn in enumerate(turns):
        type_id = number % 2
        tokens.append((SEP, type_id, SEP if previous_predicted else IGNORED))
        tokens += [(i, type_id, i if predicted[number] else IGNORED) for i in turn]
        previous_predicted = predicted[number]
    return [*tokens, (SEP, len(turns) % 2, SEP if previous_predicted else IGNORED)]


# lay_out


def test_the_example_in_the_docstring_is_correct() -> None:
    laid_out = LAYOUT.lay_out([[11], [21, 22, 23]], persona=[[1, 2, 3]], predicted=[False, True])
    assert laid_out.input_ids == [SEP, 1, 2, 3, SEP, 11, SEP, 21, 22, 23, SEP]
    assert laid_out.token_type_ids == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert laid_out.labels == [IGNORED] * 7 + [21, 22, 23, SEP]


@pytest.mark.parametrize("seed", range(50))
def test_the_layout_is_that_of_the_token_by_token_oracle(seed: int) -> None:
    source = random.Random(seed)
    turns = [[source.randint(1, 99) for _ in range(n)] for n in random_lengths(source)]
    persona = [[source.randint(1, 99) for _ in range(source.randint(0, 4))] for _ in range(source.randint(0, 3))]
    predicted = [source.random() < 0.5 for _ in turns]
    persona_type = source.randint(0, 1)
    last_is_reply = len(turns) % 2 != persona_type
    laid_out = LAYOUT.lay_out(turns, persona=persona, last_is_reply=last_is_reply, predicted=predicted)
    expected = plain_layout(turns, persona, persona_type, predicted)
    assert list(zip(laid_out.input_ids, laid_out.token_type_ids, laid_out.labels, strict=True)) == expected


def test_by_default_nothing_is_predicted_and_the_persona_is_the_next_speakers() -> None:
    for turns in ([[1]], [[1], [2]], [[1], [2], [3]]):
        laid_out = LAYOUT.lay_out(turns, persona=[[9]])
        assert set(laid_out.labels) == {IGNORED}
        assert laid_out.token_type_ids[0] == laid_out.token_type_ids[-1] == len(turns) % 2


def test_separators_follow_each_segment_and_precede_the_first_by_default() -> None:
    context = place_separators([[1, 2], [3]], SEP)
    assert context == [SEP, 1, 2, SEP, 3, SEP]
    assert context + place_separators([[4]], SEP, leading=False) == place_separators([[1, 2], [3], [4]], SEP)


# lay_out_context


@pytest.mark.parametrize("keep", [0.3, 1.0])
@pytest.mark.parametrize("seed", range(50))
def test_a_context_is_the_layout_of_the_turns_left_by_truncation(seed: int, keep: float) -> None:
    source = random.Random(seed)
    turns = [[source.randint(1, 99) for _ in range(n)] for n in random_lengths(source)]
    persona = [[source.randint(1, 99) for _ in range(2)] for _ in range(source.randint(0, 2))]
    reserved = source.randint(0, 5)
    room = source.randint(2, 60)
    max_length = room + LAYOUT.costs.persona_length(persona) + 1 + reserved
    laid_out, window = lay_out_context(turns, SEP, persona=persona, max_length=max_length, reserved=reserved, keep=keep)
    assert window == truncate_with_hysteresis([len(turn) for turn in turns], room, keep=keep)
    kept = turns[window.first :]
    kept[-1] = kept[-1][window.cut :]
    assert laid_out == LAYOUT.lay_out(kept, persona=persona)
    assert len(laid_out.input_ids) + reserved <= max_length


def test_a_context_without_a_limit_keeps_all_turns() -> None:
    turns = [[1], [2, 3], []]
    assert lay_out_context(turns, SEP) == (LAYOUT.lay_out(turns), Window(0, 0, 3))


def test_a_context_needs_room_for_a_turn_after_persona_and_reserved_tokens() -> None:
    lay_out_context([[1]], SEP, persona=[[2, 3]], max_length=9, reserved=3)
    with pytest.raises(ValueError, match="at least 9 tokens"):
        lay_out_context([[1]], SEP, persona=[[2, 3]], max_length=8, reserved=3)


@pytest.mark.parametrize(
    ("max_length", "turn", "fitting"),
    [(20, 2, 5), (20, 5, 4), (20, 50, 3), (10, 2, 2), (10, 50, 1), (5, 50, 0)],
)
def test_a_persona_that_is_too_long_tells_how_many_of_its_newest_sentences_fit_beside_the_newest_turn(
    max_length: int, turn: int, fitting: int
) -> None:
    persona = [[1, 2]] * 7
    with pytest.raises(PersonaTooLong, match="shorten the persona") as error:
        lay_out_context([[1] * turn], SEP, persona=persona, max_length=max_length)
    assert error.value.fitting == fitting
    lay_out_context([[1] * turn], SEP, persona=persona[:fitting], max_length=max_length)
