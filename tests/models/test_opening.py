"""Opening whatever model a folder holds."""

from pathlib import Path

import pytest

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.opening import load
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import MakeSelector


def test_a_folder_of_a_writer_gives_a_conversation_model(model: ConversationModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is ConversationModel
    assert loaded.generate(["Hello"], do_sample=False) == model.generate(["Hello"], do_sample=False)
    assert loaded.hf_model.dtype == model.hf_model.dtype


def test_a_folder_of_a_document_model_gives_one(model: ConversationModel, tmp_path: Path) -> None:
    DocumentModel(model.hf_model, DocumentTokenizer(model.hf_tokenizer)).save_pretrained(tmp_path / "model")
    assert type(load(tmp_path / "model")) is DocumentModel


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_a_folder_of_a_selector_gives_its_class(
    make_selector: MakeSelector, tmp_path: Path, cls: type[BiEncoder]
) -> None:
    options = {"num_codes": 2} if cls is PolyEncoder else {}
    make_selector(cls, **options).save_pretrained(tmp_path / "selector")
    assert type(load(tmp_path / "selector")) is cls


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no config\.json, so it is not a model folder"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder here"):
        load(tmp_path / "missing")
    with pytest.raises(ValueError, match="holds no adapter"):
        load(tmp_path, base="gpt2")


def test_models_say_what_they_are(model: ConversationModel, make_selector: MakeSelector) -> None:
    parameters = f"{model.hf_model.num_parameters():,}"
    text = f"ConversationModel(GPT-2, {parameters} parameters, window 64 tokens, layout separators, float32 on cpu)"
    assert repr(model) == text
    selector = make_selector()
    assert repr(selector) == (
        f"BiEncoder(bi-encoder, {selector.parameters():,} parameters, {selector.vocab_size:,} tokens, "
        "contexts of up to 60 tokens, float32 on cpu)"
    )
