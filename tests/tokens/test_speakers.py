"""Conversations of several speakers, through the separator layout, the store and its windows."""

from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.speakers import name_speakers, own_turns
from convmodel.tokens.store import TokenStore
from convmodel.tokens.turn_windows import TrainOn

TURNS = ["a", "b", "c", "d", "e"]
NAMES = ["Ida", "Tom", "Eve", "Eve", "Tom"]


def learned(max_speakers: int = 3) -> ConversationTokenizer:
    tokenizer = ConversationTokenizer.learn(["a b c d e"], 300, max_speakers=max_speakers)
    tokenizer.choose_layout(max_speakers=max_speakers)
    return tokenizer


def windows(folder: Path, conversations: list[Conversation], *, train_on: TrainOn = "all") -> WindowSet:
    tokenizer = learned()
    store = TokenStore.build(conversations, tokenizer, folder / "store")
    return WindowSet(store, layout=tokenizer.layout, max_length=40, train_on=train_on)


def test_types_number_the_speakers_as_they_appear_and_the_persona_has_that_of_the_replying_one() -> None:
    layout = SeparatorLayout(9, max_speakers=3)
    sequence = layout.lay_out([[5], [6], [7], [8]], persona=[[4]], speakers=[3, 8, 1, 1, 8])
    assert sequence.input_ids == [9, 4, 9, 5, 9, 6, 9, 7, 9, 8, 9]
    assert sequence.token_type_ids == [1, 1, 0, 0, 1, 1, 2, 2, 2, 2, 1]
    crowded = layout.lay_out([[5], [6], [7], [8]], speakers=[0, 1, 2, 3, 4])
    assert crowded.token_type_ids == [0, 0, 1, 1, 2, 2, 2, 2, 2]


def test_dropped_turns_leave_no_trace() -> None:
    layout = SeparatorLayout(9, max_speakers=4)
    speakers = [0, 1, 2, 2, 1]
    turns = [[5], [6], [7], [8]]
    context, window = layout.lay_out_context(turns, max_length=5, speakers=speakers)
    assert window.first == 2
    assert context == layout.lay_out(turns[2:], speakers=speakers[2:])
    assert context.token_type_ids == [0, 0, 0, 0, 1]


def test_alternating_speakers_have_the_types_of_unnamed_ones() -> None:
    named = SeparatorLayout(9, max_speakers=3).lay_out([[5], [6], [7]], persona=[[4]], speakers=[0, 1, 0, 1])
    assert named == SeparatorLayout(9).lay_out([[5], [6], [7]], persona=[[4]])


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("last", [4]),
        ("last_speaker", [1, 4]),
        ("first_speaker", [0]),
        ("second_speaker", [1, 4]),
    ],
)
def test_each_turn_of_the_chosen_speaker_is_predicted_once(
    tmp_path: Path, train_on: TrainOn, expected: list[int]
) -> None:
    rows = windows(tmp_path, [Conversation(TURNS, speakers=NAMES)], train_on=train_on)
    assert [list(rows.predicted(n)[1]) for n in range(len(rows))] == [expected]
    (row,) = rows.read([0])
    tokenizer = learned()
    labels = [label for label in row.labels if label != IGNORED]
    assert labels == [i for turn in expected for i in (*tokenizer.encode(TURNS[turn]), tokenizer.sep_token_id)]
    starts = [start for start, _ in row.spans]
    assert [row.token_type_ids[start] for start in starts] == [0, 1, 2, 2, 1][: len(starts)]


@pytest.mark.parametrize("train_on", ["all", "last_speaker"])
def test_long_conversations_are_split_with_their_speakers(tmp_path: Path, train_on: TrainOn) -> None:
    names = NAMES * 6
    rows = windows(tmp_path, [Conversation(["abcde" * 2] * 30, speakers=names), Conversation(TURNS)], train_on=train_on)
    predicted = [(index, turn) for index, turns in map(rows.predicted, range(len(rows))) for turn in turns]
    wanted = [turn for turn in range(30) if train_on == "all" or names[turn] == "Tom"]
    own = [0, 1, 2, 3, 4] if train_on == "all" else [0, 2, 4]
    assert predicted == [*((0, turn) for turn in wanted), *((1, turn) for turn in own)]
    assert [len(row.input_ids) for row in rows.read(range(len(rows)))] == rows.lengths.tolist()


def test_the_store_numbers_speakers_and_windows_count_crowds(tmp_path: Path) -> None:
    talks = [
        Conversation(TURNS, ["p"], speakers=NAMES),
        Conversation(["a", "b"]),
        Conversation(list("abcd"), speakers=["I", "T", "E", "K"]),
    ]
    rows = windows(tmp_path, talks)
    assert TokenStore(tmp_path / "store").speakers.tolist()[1:] == [0, 1, 2, 2, 1, 0, 1, 0, 1, 2, 3]
    assert rows.counts.crowded == 1


def test_a_vocabulary_reserves_a_token_for_each_speaker() -> None:
    tokenizer = learned(4)
    first = tokenizer.hf_tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4])
    assert first == ["<speaker0>", "<speaker1>", "<speaker2>", "<speaker3>", "<sep>"]
    tokenizer.choose_layout(max_speakers=5)
    with pytest.raises(ValueError, match="reserves tokens for 4 speakers; use max_speakers=4"):
        _ = tokenizer.layout


def test_without_token_types_a_group_is_two_sides() -> None:
    tokenizer = learned()
    tokenizer.choose_layout(token_types=False)
    assert tokenizer.layout.max_speakers == 2


def test_a_context_keeps_its_speakers_or_becomes_two_sides() -> None:
    assert name_speakers(TURNS, NAMES, "Ida", keep=True) == (TURNS, [0, 1, 2, 2, 1, 0])
    assert name_speakers(TURNS, NAMES, "Tom", keep=True)[1] == [0, 1, 2, 2, 1, 1]
    sides, numbers = name_speakers(TURNS, NAMES, "Eve", keep=False)
    assert numbers is None and sides == ("Ida: a\nTom: b", "c\nd", "Tom: e")
    assert own_turns([[1], [2], [3]], [0, 1, 0, 0]) == [[3], [1]]
