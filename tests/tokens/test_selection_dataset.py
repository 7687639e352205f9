"""Examples of a token store, compared with their texts."""

from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation
from convmodel.data.selection_example import SelectionExample
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.selection_dataset import SelectionDataset, TokenisedChoice
from convmodel.tokens.store import TokenStore

CONVERSATIONS = [
    Conversation(("Hello", "Hi you", "How are you?"), ("I am fine",)),
    Conversation(("alone",)),
    Conversation(("a", "b")),
]
CHOICES = [
    SelectionExample(("Hello", "Hi"), ("no", "yes", "rain"), 1, ("I like rain",)),
    SelectionExample(("a",), ("b",), 0),
]


def texts(tokenizer: ConversationTokenizer, choice: TokenisedChoice) -> tuple[list[str], list[str], str, list[str]]:
    def decode(id_lists: list[list[int]]) -> list[str]:
        return [tokenizer.decode(ids) for ids in id_lists]

    return decode(choice.turns), decode(choice.persona), tokenizer.decode(choice.response), decode(choice.distractors)


def test_each_turn_after_the_first_is_a_response_and_a_persona_belongs_to_one_speaker(
    tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    choices = SelectionDataset(TokenStore.build(CONVERSATIONS, tokenizer, tmp_path / "store"), max_context=60)
    examples = [texts(tokenizer, choice) for choice in choices.read(range(len(choices)), distractors=9)]
    assert examples == [
        (["Hello"], [], "Hi you", []),
        (["Hello", "Hi you"], ["I am fine"], "How are you?", []),
        (["a"], [], "b", []),
    ]
    assert [choices.conversation(n) for n in range(3)] == [0, 0, 2]


def test_given_candidates_are_split_into_response_and_distractors(
    tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    choices = SelectionDataset(TokenStore.build(CHOICES, tokenizer, tmp_path / "store"), max_context=60)
    for count, distractors in ((9, ["no", "rain"]), (1, ["no"]), (0, [])):
        examples = [texts(tokenizer, choice) for choice in choices.read([0, 1], distractors=count)]
        assert examples == [(["Hello", "Hi"], ["I like rain"], "yes", distractors), (["a"], [], "b", [])]


def test_max_turns_limits_the_context_to_the_newest_turns(tokenizer: ConversationTokenizer, tmp_path: Path) -> None:
    choices = SelectionDataset(
        TokenStore.build([CONVERSATIONS[0], *CHOICES], tokenizer, tmp_path / "store"), max_context=60, max_turns=1
    )
    examples = [texts(tokenizer, choice) for choice in choices.read(range(4), distractors=1)]
    assert [turns for turns, *_ in examples] == [["Hello"], ["Hi you"], ["Hi"], ["a"]]
    assert [response for _, _, response, _ in examples] == ["Hi you", "How are you?", "yes", "b"]
    with pytest.raises(ValueError, match="max_turns=0; it must be at least 1"):
        SelectionDataset(TokenStore(tmp_path / "store"), max_context=60, max_turns=0)


def test_a_conversation_whose_persona_leaves_no_room_is_dropped(
    tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    store = TokenStore.build([*CONVERSATIONS, *CHOICES], tokenizer, tmp_path / "store")
    room = 1 + len(tokenizer.encode("I am fine"))  # with its separator
    assert SelectionDataset(store, max_context=60).dropped.tolist() == []
    assert SelectionDataset(store, max_context=room + 3).dropped.tolist() == []
    assert SelectionDataset(store, max_context=room + 2).dropped.tolist() == [0]
    choices = SelectionDataset(store, max_context=4)  # conversation 1 has no response
    assert choices.dropped.tolist() == [0, 3] and [choices.conversation(n) for n in range(len(choices))] == [2, 4]
