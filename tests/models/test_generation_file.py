"""The decoding options of a folder: what is kept, and what is refused before a text is generated."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.generation_file import GENERATION, read_own_options
from tests.data.test_json_file import POINTER


def change(folder: Path, **options: Any) -> None:
    saved = json.loads((folder / GENERATION).read_text())
    (folder / GENERATION).write_text(json.dumps(saved | options))


def test_what_is_saved_and_a_folder_without_the_file_pass(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not any(read_own_options(str(folder)).values())
        (folder / GENERATION).unlink()
        assert not any(read_own_options(str(folder)).values())
    assert not caplog.records
    assert ConversationModel.from_pretrained(folder).generation_config.do_sample


def test_the_options_of_this_package_are_kept_in_a_folder(folder: Path) -> None:
    options = {"self_repetition_penalty": 0.5, "no_repeat_context_ngram_size": 3, "frequency_penalty": 0.25}
    change(folder, **options)
    model = ConversationModel.from_pretrained(folder)
    for name, value in options.items():
        assert getattr(model.decoding().config, name) == value
    model.save_pretrained(folder)
    assert ConversationModel.from_pretrained(folder).generation_config.to_dict() == model.generation_config.to_dict()
    config = DocumentModel.from_pretrained(folder).decoding().config
    assert vars(config)["self_repetition_penalty"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "hot"}, "temperature='hot'; allowed are numbers above 0"),
        ({"num_beams": "four"}, "num_beams='four'; allowed are whole numbers from 1"),
        ({"eos_token_id": "x"}, "eos_token_id='x'; allowed are whole numbers from 0 and lists of them"),
        ({"bad_words_ids": [5]}, r"bad_words_ids=\[5\]; allowed are lists of lists"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0.6 asks for contrastive search, which transformers no"),
        ({"num_beam_groups": 2}, "num_beam_groups=2 asks for group beam search"),
        ({"max_new_tokens": 10**5}, "max_new_tokens=100000, but .* share a window of 64 tokens; allowed are 1 to 61"),
        ({"self_repetition_penalty": 0.5, "num_beams": 2}, "self_repetition_penalty needs greedy decoding"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_at_loading(folder: Path, options: dict[str, Any], message: str) -> None:
    change(folder, **options)
    with pytest.raises(ValueError, match=rf"generation_config\.json: {message}"):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("contents", ["", "{", "[]", "null", POINTER])
def test_a_damaged_file_is_named_and_not_passed_over(folder: Path, contents: str) -> None:
    (folder / GENERATION).write_text(contents)
    with pytest.raises(ValueError, match=r"generation_config\.json:?1?: (is|holds) "):
        ConversationModel.from_pretrained(folder)


def test_an_unknown_option_is_told_and_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, temprature=0.1)
    with caplog.at_level(logging.WARNING):
        ConversationModel.from_pretrained(folder)
    told = f"{folder / GENERATION}: there is no option 'temprature'; did you mean temperature?; it is ignored"
    assert told in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "options",
    [{"suppress_tokens": [3, 9999]}, {"bad_words_ids": [[3], [4, 9999]]}, {"forced_eos_token_id": 9999}],
    ids=str,
)
def test_a_token_that_the_model_does_not_have_is_refused(folder: Path, options: dict[str, Any]) -> None:
    change(folder, **options)
    [name] = options
    message = rf"generation_config\.json: {name} names token 9999, but the model has [\d,]+ tokens; correct it there"
    with pytest.raises(ValueError, match=message):
        ConversationModel.from_pretrained(folder)


def test_an_end_token_that_the_model_does_not_have_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, eos_token_id=[2, 50256])
    with caplog.at_level(logging.WARNING):
        ConversationModel.from_pretrained(folder)
    assert "generation_config.json: eos_token_id names token 50256, but the model has " in caplog.text
