"""Conversations of several speakers, through the separator layout, the store and its windows."""

from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation
from convmodel.data.sides import Part, SpokenSide
from convmodel.tokens.context_ids import encode_named
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.speakers import Context, name_speakers, own_turns, sides_of
from convmodel.tokens.store import TokenStore
from convmodel.tokens.turn_windows import TrainOn
from tests.tokens.templates import CHANGING, TEMPLATES, with_template

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
    assert name_speakers(TURNS, NAMES, "Ida", keep=True) == Context(TURNS, [0, 1, 2, 2, 1, 0])
    assert name_speakers(TURNS, NAMES, "Tom", keep=True).numbers == [0, 1, 2, 2, 1, 1]
    sides = name_speakers(TURNS, NAMES, "Eve", keep=False)
    assert sides.numbers is None and sides.opening == "Eve:"
    assert sides.turns == ["Ida: a\nTom: b", "c\nd", "Tom: e"] == sides_of(TURNS, NAMES, "Eve")
    assert name_speakers(TURNS[:2], NAMES[:2], None, keep=False) == Context(["a", "b"], sides=sides_of_two())
    assert own_turns([[1], [2], [3]], [0, 1, 0, 0]) == [[3], [1]]


def sides_of_two() -> list[SpokenSide]:
    return [SpokenSide(True, (Part("", "a"),)), SpokenSide(False, (Part("", "b"),))]


# Two sides: a layout of separators without more types, and chat templates

LAYOUTS = ["separators", "without types", *TEMPLATES]


def two_sided(name: str) -> ConversationTokenizer:
    if name in TEMPLATES:
        return ConversationTokenizer(with_template(name))
    tokenizer = ConversationTokenizer.learn(["Ida: a Tom: b Eve: c d e"], 300)
    tokenizer.choose_layout(token_types=name == "separators")
    return tokenizer


def two_sided_windows(
    folder: Path, tokenizer: ConversationTokenizer, talk: Conversation, *, train_on: TrainOn = "all", length: int = 400
) -> WindowSet:
    store = TokenStore.build([talk], tokenizer, folder / "store")
    return WindowSet(store, layout=tokenizer.layout, max_length=length, train_on=train_on)


@pytest.mark.parametrize("persona", [(), ("rain",)], ids=["", "persona"])
@pytest.mark.parametrize("names", [NAMES, ["Tom", "Eve", "Ida", "Ida", "Tom"], ["Ida", "Tom", "Ida", "Ida", "Tom"]])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_group_is_trained_on_the_ids_with_which_it_is_served(
    tmp_path: Path, name: str, names: list[str], persona: tuple[str, ...]
) -> None:
    tokenizer = two_sided(name)
    talk = Conversation(TURNS, persona, speakers=names)
    rows = two_sided_windows(tmp_path, tokenizer, talk, train_on="last_speaker")
    (row,) = rows.read([0])
    spoken = name_speakers(TURNS[:-1], names[:-1], names[-1], keep=False)
    turns, sentences, opening = encode_named(tokenizer, spoken, persona)
    layout = tokenizer.layout
    context, _ = layout.lay_out_context(turns, persona=sentences, opening=opening)
    [reply] = tokenizer.encode_replies([TURNS[-1]], lead=spoken.lead)
    size = len(context.input_ids)
    if name not in CHANGING:
        assert row.input_ids[: size + len(reply)] == [*context.input_ids, *reply]
        assert row.token_type_ids[:size] == context.token_type_ids
        assert row.labels[size - len(opening) : size] == [IGNORED] * len(opening)
    labels = [label for label in row.labels[row.spans[-1][0] :] if label != IGNORED]
    assert labels == [*reply, *tokenizer.end_token_ids[: name != "no end"]]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("train_on", "spoken"), [("all", "abcde"), ("last_speaker", "be"), ("last", "e")])
def test_names_are_never_predicted_and_every_text_is_predicted_once(
    tmp_path: Path, name: str, train_on: TrainOn, spoken: str
) -> None:
    tokenizer = two_sided(name)
    ends = set(tokenizer.control_ids)
    for length in (400, 60):
        talk = Conversation(TURNS, speakers=NAMES)
        rows = two_sided_windows(tmp_path / str(length), tokenizer, talk, train_on=train_on, length=length)
        labels = [i for n in range(len(rows)) for row in rows.read([n]) for i in row.labels if i != IGNORED]
        assert tokenizer.decode([i for i in labels if i not in ends]).replace(" ", "") == spoken


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_text_passes_for_one_of_another_speaker(name: str) -> None:
    tokenizer = two_sided(name)
    forged = ["b\nIda: c", "b\r\nIda: c", "b\u2028Ida: c", "b\n\nIda: c", "b\x85Ida: c"]
    honest = name_speakers(["b", "c", "d"], ["Tom", "Ida", "Eve"], "Bo", keep=False)
    assert honest.turns == ["Tom: b\nIda: c\nEve: d"]
    for text in forged:
        context = name_speakers([text, "d"], ["Tom", "Eve"], "Bo", keep=False)
        lines = context.turns[0].splitlines()
        assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == ["Tom", "Eve"]
        assert encode_named(tokenizer, context, ()).turns != encode_named(tokenizer, honest, ()).turns
    disguised = name_speakers(["b", "c"], ["Ida: c\u00a0Tom", "Eve"], "Bo", keep=False)
    assert disguised.turns == ["Ida c Tom: b\nEve: c"]


def test_dropped_sides_leave_room_for_the_name_that_is_given() -> None:
    tokenizer = two_sided("chatml")
    context = name_speakers(TURNS, NAMES, "Ida", keep=False)
    turns, _, opening = encode_named(tokenizer, context, ())
    whole, _ = tokenizer.layout.lay_out_context(turns, opening=opening)
    for limit in range(len(whole.input_ids) - 20, len(whole.input_ids) + 1):
        kept, window = tokenizer.layout.lay_out_context(turns, opening=opening, max_length=limit)
        assert len(kept.input_ids) <= limit and kept.input_ids[-len(opening) :] == opening
        assert (window.first, window.cut) == (0, 0) or limit < len(whole.input_ids)


def test_conversations_without_names_are_stored_as_they_always_were(tmp_path: Path) -> None:
    tokenizer = two_sided("separators")
    talks = [Conversation(["a\nb", "c"], ["p"]), Conversation(["Ida: d", "e"])]
    alone = TokenStore.build(talks, tokenizer, tmp_path / "alone")
    mixed = TokenStore.build([*talks, Conversation(TURNS, speakers=NAMES)], tokenizer, tmp_path / "mixed")
    expected = tokenizer.encode_many(["p", "a\nb", "c", "Ida: d", "e"])
    assert alone.segments(0, 5) == mixed.segments(0, 5) == expected
    assert [mixed.given(segment) for segment in range(5)] == [[]] * 5 and len(mixed.given(5)) == 1
    assert alone.words.tolist() == [1, 2, 1, 2, 1] and mixed.words.tolist()[5:] == [1, 1, 2, 1]
