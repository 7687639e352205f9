"""Decoding options from the words of a command line."""

from pathlib import Path

import pytest

from convmodel.generation.options import PRESETS
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.model_facts import model_fingerprint, parse_decoding
from tests.reports.evaluation.conftest import small_model


def test_values_are_numbers_truths_lists_or_texts() -> None:
    given = ["top_p=0.9", "do_sample=false", "num_beams=4", 'stop_strings=["."]', "top_k=None", "temperature=1e-1"]
    assert parse_decoding(given) == {
        **{"top_p": 0.9, "do_sample": False, "num_beams": 4},
        **{"stop_strings": ["."], "top_k": None, "temperature": 0.1},
    }
    assert parse_decoding(["do_sample=True", "cache_implementation=static"]) == {
        "do_sample": True,
        "cache_implementation": "static",
    }
    assert parse_decoding([]) == {}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("top_p", "--option top_p: write NAME=VALUE, such as top_p=0.9"),
        ("topp=0.9", "there is no option 'topp'; did you mean top_p"),
        ("top_p=1.5", "top_p=1.5; allowed are numbers above 0 and at most 1"),
        ("top_p=much", "top_p='much'; allowed are numbers"),
    ],
)
def test_what_is_no_option_is_told(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_decoding([word])


def test_options_win_over_those_of_a_preset() -> None:
    assert parse_decoding([], preset="careful") == PRESETS["careful"]
    assert parse_decoding(["top_p=0.5"], preset="lively") == PRESETS["lively"] | {"top_p": 0.5}
    with pytest.raises(ValueError, match="there is no preset 'wild'; allowed are balanced, careful, lively"):
        parse_decoding([], preset="wild")


def test_a_fingerprint_is_of_weights_heads_and_vocabulary(folder: Path) -> None:
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    assert model_fingerprint(model) == model_fingerprint(small_model())
    others = [small_model(seed=1), small_model(vocab_size=259), small_model()]
    others[2].hf_model.config.n_head = 4
    assert len({model_fingerprint(each) for each in [model, *others]}) == 4
