"""The form of PersonaChat in transfer-learning-conv-ai."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError

DIALOGUE: dict[str, Any] = {
    "personality": ["i keep bees ."],
    "utterances": [
        {"candidates": ["no .", "two hives ."], "history": ["__ SILENCE __", "animals ?"]},
        {"candidates": ["no .", "in spring ."], "history": ["__ SILENCE __", "animals ?", "two hives .", "when ?"]},
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_the_last_utterance_of_each_dialogue_is_read_with_its_history(reader: Any, indent: int | None) -> None:
    made = reader(json.dumps({"train": [DIALOGUE], "valid": [DIALOGUE]}, indent=indent))
    turns = ["animals ?", "two hives .", "when ?", "in spring ."]
    assert list(made) == [Conversation(turns, ["i keep bees ."])] * 2


def test_each_utterance_has_candidates(choices: Any) -> None:
    first, second = choices(json.dumps([DIALOGUE]))
    assert (first.context, first.candidates, first.response) == (("animals ?",), ("no .", "two hives ."), "two hives .")
    assert (len(second.context), second.response, second.persona) == (3, "in spring .", ("i keep bees .",))


@pytest.mark.parametrize("utterance", [5, {}, {"history": ["a"]}, {"history": ["a"], "candidates": []}])
def test_an_utterance_of_another_form_is_told(reader: Any, utterance: Any) -> None:
    value = {"personality": [], "utterances": [DIALOGUE["utterances"][0], utterance]}
    with pytest.raises(ConversationFileError, match=r':1: utterance 2 is .*; write {"history"'):
        list(reader(json.dumps(value)))


def test_a_dialogue_without_utterances_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="there are no turns"):
        list(reader(json.dumps([DIALOGUE, {"personality": [], "utterances": []}])))
