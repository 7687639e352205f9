"""Windows of a store, compared with the layout of each conversation alone, and with the turns in order."""

import random
from pathlib import Path
from typing import cast

import pytest

from convmodel.data.conversation import Conversation
from convmodel.tokens import turn_windows
from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.store import TokenStore
from convmodel.tokens.turn_windows import TrainOn
from tests.tokens.templates import CHANGING, TEMPLATES, with_template

SEP = 0
TRAIN_ON: list[TrainOn] = ["all", "last", "last_speaker", "first_speaker", "second_speaker"]
SHARES = [0.0, 0.5, 1.0]


class Letters:
    """A tokenizer with one id per character that ignores white space."""

    def __len__(self) -> int:
        return 256

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return [ids_of(text) for text in texts]


def ids_of(text: str) -> list[int]:
    return [ord(letter) for letter in text if not letter.isspace()]


def build_store(folder: Path, conversations: list[Conversation]) -> TokenStore:
    return TokenStore.build(conversations, cast(ConversationTokenizer, Letters()), folder / "store")


def window_set(
    store: TokenStore, max_length: int, *, train_on: TrainOn = "all", context_share: float = 0.5
) -> WindowSet:
    return WindowSet(
        store, layout=SeparatorLayout(SEP), max_length=max_length, train_on=train_on, context_share=context_share
    )


def random_text(source: random.Random, longest: int) -> str:
    return " ".join("".join(source.choices("abcdefgh", k=source.randint(1, longest))) for _ in range(2))


def random_conversations(source: random.Random, count: int = 40) -> list[Conversation]:
    """Return conversations of one turn to many windows, some with a persona, which may be as long as a window."""
    conversations = []
    for _ in range(count):
        longest = source.choice([1, 3, 15])
        turns = [random_text(source, longest) for _ in range(source.randint(1, 12))]
        sentences = source.choice([0, 0, 1, source.randint(1, 4)])
        conversations.append(
            Conversation(turns, [random_text(source, source.choice([2, 8])) for _ in range(sentences)])
        )
    return conversations


def plain_windows(
    conversation: Conversation, max_length: int, train_on: TrainOn, context_share: float
) -> tuple[list[ConversationSequence], list[int]]:
    """Return the laid-out windows of a conversation and the turns that they predict; none for too long a persona."""
    turns = [ids_of(t) for t in conversation.turns]
    persona = [ids_of(p) for p in conversation.persona]
    room = max_length - 1 - sum(len(sentence) + 1 for sentence in persona)
    if room < 2:
        return [], []
    targets = turn_windows.target_turns(train_on, len(turns))
    laid_out = []
    predicted = []
    for window in turn_windows.split_into_windows(
        [len(t) for t in turns], room, train_on=train_on, context_share=context_share
    ):
        kept = turns[window.first : window.stop]
        kept[-1] = kept[-1][window.cut :]
        window_targets = [n for n in range(window.first, window.stop) if n >= window.predict_from and n in targets]
        persona_type = [n % 2 for n in range(len(turns) - window.first)][-1]  # the token type of the last turn
        laid_out.append(
            SeparatorLayout(SEP).lay_out(
                kept,
                persona=persona,
                last_is_reply=len(kept) % 2 != persona_type,
                predicted=[n in window_targets for n in range(window.first, window.stop)],
            )
        )
        predicted += window_targets
    return laid_out, predicted


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("train_on", TRAIN_ON)
@pytest.mark.parametrize("max_length", [5, 12, 40, 1000])
def test_windows_are_those_of_each_conversation_alone(
    tmp_path: Path, max_length: int, train_on: TrainOn, share: float
) -> None:
    conversations = random_conversations(random.Random(f"{max_length} {train_on} {share}"))
    windows = window_set(build_store(tmp_path, conversations), max_length, train_on=train_on, context_share=share)
    expected = []
    words = 0
    with_windows = 0
    split = 0
    dropped = []
    for number, conversation in enumerate(conversations):
        laid_out, predicted = plain_windows(conversation, max_length, train_on, share)
        expected += laid_out
        words += sum(len(conversation.turns[turn].split()) for turn in predicted)
        with_windows += bool(laid_out)
        split += len(laid_out) > 1
        if sum(len(ids_of(sentence)) + 1 for sentence in conversation.persona) + 1 > max_length - 2:
            dropped.append(number)
    assert windows.read(range(len(windows))) == expected
    assert windows.lengths.tolist() == [len(row.input_ids) for row in expected]
    assert all(length <= max_length for length in windows.lengths)
    assert windows.words() == words
    assert windows.conversations == with_windows
    assert windows.counts.split == split
    assert windows.counts.dropped == dropped


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("train_on", TRAIN_ON)
@pytest.mark.parametrize("max_length", [5, 12, 40, 1000])
def test_every_target_turn_is_predicted_once_in_order(
    tmp_path: Path, max_length: int, train_on: TrainOn, share: float
) -> None:
    conversations = random_conversations(random.Random(f"{share} {train_on} {max_length}"))
    expected = []
    cut_turns = 0
    for conversation in conversations:
        last = len(conversation.turns) - 1
        room = max_length - 1 - sum(len(ids_of(sentence)) + 1 for sentence in conversation.persona)
        if room < 2:
            continue
        for number, turn in enumerate(conversation.turns):
            if {
                "all": True,
                "last": number == last,
                "last_speaker": number % 2 == last % 2,
                "first_speaker": number % 2 == 0,
                "second_speaker": number % 2 == 1,
            }[train_on]:
                labels = [*ids_of(turn), SEP]
                expected += labels[-room:]
                cut_turns += len(labels) > room
    windows = window_set(build_store(tmp_path, conversations), max_length, train_on=train_on, context_share=share)
    rows = windows.read(range(len(windows)))
    assert [label for row in rows for label in row.labels if label != IGNORED] == expected
    assert windows.counts.cut_turns == cut_turns
    for row in rows:
        pairs = zip(row.labels, row.input_ids, strict=True)
        assert all(label in (IGNORED, token) for label, token in pairs)
        assert any(label != IGNORED for label in row.labels)


def test_windows_are_read_in_the_requested_order(tmp_path: Path) -> None:
    windows = window_set(build_store(tmp_path, random_conversations(random.Random(0))), 20)
    rows = windows.read(range(len(windows)))
    indices = random.Random(1).choices(range(len(windows)), k=30)
    assert windows.read(indices) == [rows[index] for index in indices]


def test_a_persona_has_the_token_type_of_the_last_turn_in_every_window(tmp_path: Path) -> None:
    four = Conversation(["aa"] * 4, ["p"])
    five = Conversation(["aa"] * 5, ["p"])
    windows = window_set(build_store(tmp_path, [four, five]), 1000)
    assert [row.token_type_ids[:3] for row in windows.read([0, 1])] == [[1, 1, 0], [0, 0, 0]]
    split = window_set(TokenStore(tmp_path / "store"), 9, context_share=0.0)  # the persona and two turns
    rows = split.read(range(len(split)))
    assert [len(row.labels) for row in rows] == [9] * 5
    # Turns 0 and 1, 2 and 3 of the first; of the second turns 0 and 1, 2 and 3, and 4 with turn 3 before it.
    assert [row.token_type_ids for row in rows] == [
        [1, 1, 0, 0, 0, 1, 1, 1, 0],
        [1, 1, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 1, 1, 0],
        [1, 1, 0, 0, 0, 1, 1, 1, 0],
    ]


def test_a_conversation_whose_persona_leaves_no_room_is_dropped_and_counted(tmp_path: Path) -> None:
    conversations = [
        Conversation(["a", "b"], ["p" * 6]),
        Conversation(["a", "b"]),
        Conversation(["a", "b"], ["p" * 7]),
        Conversation(["a", "b"], ["p" * 8]),
    ]
    windows = window_set(build_store(tmp_path, conversations), 10)
    assert windows.counts.dropped == [2, 3]
    assert windows.conversations == 2
    assert [row.labels for row in windows.read(range(len(windows)))] == [
        [IGNORED] * 8 + [ord("a"), SEP],
        [IGNORED] * 8 + [ord("b"), SEP],
        [IGNORED, ord("a"), SEP, ord("b"), SEP],
    ]


def test_a_conversation_without_target_turns_has_no_window(tmp_path: Path) -> None:
    windows = window_set(
        build_store(tmp_path, [Conversation(["a"]), Conversation(["b", "c"])]), 9, train_on="second_speaker"
    )
    assert [row.input_ids for row in windows.read(range(len(windows)))] == [[SEP, ord("b"), SEP, ord("c"), SEP]]
    assert windows.conversations == windows.words() == 1


def test_turns_after_the_last_target_are_not_read(tmp_path: Path) -> None:
    windows = window_set(build_store(tmp_path, [Conversation(["a", "b", "ccc"])]), 99, train_on="second_speaker")
    [row] = windows.read([0])
    assert row.input_ids == [SEP, ord("a"), SEP, ord("b"), SEP]
    assert windows.lengths.tolist() == [5]


def test_an_empty_store_has_no_windows(tmp_path: Path) -> None:
    windows = window_set(build_store(tmp_path, []), 10)
    assert len(windows) == windows.conversations == windows.words() == 0
    assert windows.lengths.tolist() == []
    assert windows.read([]) == []


def test_an_unknown_train_on_is_rejected(tmp_path: Path) -> None:
    store = build_store(tmp_path, [Conversation(["a", "b"])])
    with pytest.raises(ValueError, match="train_on='none'; allowed are all, last"):
        window_set(store, 10, train_on="none")  # type: ignore[arg-type]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("train_on", TRAIN_ON)
@pytest.mark.parametrize("name", TEMPLATES)
def test_with_any_chat_template_every_target_turn_is_predicted_once_in_order(
    tmp_path: Path, name: str, train_on: TrainOn, share: float
) -> None:
    tokenizer = ConversationTokenizer(with_template(name))
    source = random.Random(f"{name} {train_on} {share}")
    least = tokenizer.layout.costs.min_context(persona=True)
    conversations = random_conversations(source, count=12)
    store = TokenStore.build(conversations, tokenizer, tmp_path / "store")
    for max_length in (least + 40, least + 120, 2000):
        windows = WindowSet(
            store, layout=tokenizer.layout, max_length=max_length, train_on=train_on, context_share=share
        )
        rows = windows.read(range(len(windows)))
        lengths = [len(row.input_ids) for row in rows]
        assert all(length <= bound <= max_length for length, bound in zip(lengths, windows.lengths, strict=True))
        assert name in CHANGING or lengths == windows.lengths.tolist()
        predicted = []
        for n, row in enumerate(rows):
            conversation, turns = windows.predicted(n)
            kept = [span for span in row.spans if any(label != IGNORED for label in row.labels[slice(*span)])]
            texts = [row.labels[start:stop] for start, stop in kept]
            predicted += [(conversation, turn, text) for turn, text in zip(turns, texts, strict=True)]
        expected = []
        for index, talk in enumerate(conversations):
            count = len(talk.turns)
            if index not in windows.counts.dropped:
                expected += [(index, turn) for turn in turn_windows.target_turns(train_on, count)]
        assert [(index, turn) for index, turn, _ in predicted] == expected
        cut = 0
        for index, turn, text in predicted:
            ids = tokenizer.encode(conversations[index].turns[turn])
            assert ids[-len(text) :] == text
            cut += len(text) < len(ids)
        assert cut == windows.counts.cut_turns
