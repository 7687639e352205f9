"""GGUF files: the weights, tokenizer, template and end tokens of the model that they were written from, and damage."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from transformers.integrations.gguf import reader

from convmodel.errors import install_command
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.source import open_source
from tests.models.gguf_files import TEMPLATE, tiny_llama, write_gguf
from tests.weights import real_weights

pytest.importorskip("gguf")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "tiny.gguf", tiny_llama())
    return tmp_path / "tiny.gguf"


def test_a_file_is_the_model_that_it_was_written_from(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file.parent / "tokenizer.json").write_text("of another model")
    (file.parent / "generation_config.json").write_text('{"eos_token_id": 7}')
    expected = tiny_llama()
    model = ConversationModel.from_pretrained(file, "cpu", "float32")
    assert capfd.readouterr().err == ""
    for name, values in expected.state_dict().items():
        assert torch.allclose(values, model.hf_model.state_dict()[name]), name
    ids = torch.tensor([[1, 50, 60, 70, 2, 9]])
    with torch.no_grad():
        assert torch.allclose(model.hf_model(input_ids=ids).logits, expected(input_ids=ids).logits, atol=1e-4)
    assert model.hf_tokenizer.chat_template == TEMPLATE
    assert model.tokenizer.layout.name == "chat_template"
    assert model.generation_config.eos_token_id == [2]
    assert model.n_positions == 128
    assert not {0, 1, 2} & set(model.tokenizer.encode("<|im_start|>system <|im_end|> hello"))


def test_the_header_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Mock(wraps=reader.read_gguf_metadata)
    monkeypatch.setattr(reader, "read_gguf_metadata", counted)
    ConversationModel.from_pretrained(file, "cpu")
    read = [call.args for call in counted.call_args_list]
    assert read.count((str(file),)) == 1  # transformers reads the vocabulary alone, again


def test_a_saved_model_is_an_ordinary_folder_with_the_same_replies(file: Path) -> None:
    model = ConversationModel.from_pretrained(file, "cpu", "float32")
    model.save_pretrained(file.parent / "saved")
    again = ConversationModel.from_pretrained(file.parent / "saved", "cpu", "float32")
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    assert again.generate(["hello"], **options).responses == model.generate(["hello"], **options).responses


def test_a_file_writes_documents_too(file: Path) -> None:
    model = DocumentModel.from_pretrained(file, "cpu", "float32")
    assert model.generate("hello", max_new_tokens=4, do_sample=False).texts


def change(how: Callable[[bytes], bytes], file: Path) -> None:
    file.write_bytes(how(file.read_bytes()))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda data: data[:-1000], r"tiny\.gguf: is cut off: it has [\d,]+ bytes of [\d,]+; copy or download"),
        (lambda data: data[:300], r"tiny\.gguf: is cut off, damaged, or .*; copy or download"),
        (lambda data: data[:30], r"tiny\.gguf: is cut off, damaged, or .*; copy or download"),
        (lambda data: b"PK" + data, r"tiny\.gguf: is not a GGUF file: it begins with b'PKGG', .*; copy or download"),
        (lambda data: b"", r"tiny\.gguf: is not a GGUF file"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\noid", r"tiny\.gguf: is a pointer of Git LFS"),
    ],
    ids=["cut off", "cut off in the header", "cut off at once", "another file", "empty", "pointer"],
)
def test_a_damaged_file_is_an_error_of_one_line(file: Path, how: Callable[[bytes], bytes], message: str) -> None:
    change(how, file)
    with pytest.raises(ValueError, match=message) as caught:
        ConversationModel.from_pretrained(file)
    assert "\n" not in str(caught.value)


def test_an_unknown_architecture_is_an_error_of_one_line(tmp_path: Path) -> None:
    write_gguf(tmp_path / "odd.gguf", tiny_llama(), architecture="mammoth")
    with pytest.raises(ValueError, match=r"odd\.gguf: .*mammoth.*safetensors") as caught:
        ConversationModel.from_pretrained(tmp_path / "odd.gguf")
    assert "\n" not in str(caught.value)


def test_missing_files_and_libraries_are_told_with_the_remedy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.gguf: no such file"):
        open_source(file.parent / "none.gguf")
    with pytest.raises(ValueError, match=r"holds GGUF files and no config\.json; give one .*tiny\.gguf"):
        open_source(file.parent)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"needs gguf and accelerate: {re.escape(install_command('gguf'))}"):
        open_source(file)


@pytest.mark.weights
@pytest.mark.slow
def test_real_weights_reply() -> None:
    model = ConversationModel.from_pretrained(real_weights("**/SmolLM2-135M-Instruct*.gguf"), "cpu", "float32")
    replies = model.generate(["What is the capital of France?"], do_sample=False, max_new_tokens=12).responses
    assert "Paris" in replies[0]
