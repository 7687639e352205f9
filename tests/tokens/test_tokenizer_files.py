"""Loading of tokenizers: folders without a vocabulary and damaged files are refused, and the error names the file."""

import json
from pathlib import Path

import pytest
from transformers import BertConfig, GPT2Config, PretrainedConfig

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.tokenizer_files import load_tokenizer
from tests.data.test_json_file import POINTER

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "you"]


@pytest.fixture
def folder(tokenizer: ConversationTokenizer, tmp_path: Path) -> Path:
    """The folder of a GPT-2's configuration and tokenizer."""
    tokenizer.save_pretrained(tmp_path)
    GPT2Config().save_pretrained(tmp_path)
    return tmp_path


def test_the_tokenizer_of_a_folder_is_loaded(folder: Path, tokenizer: ConversationTokenizer) -> None:
    assert load_tokenizer(folder).get_vocab() == tokenizer.hf_tokenizer.get_vocab()


@pytest.mark.parametrize("config", [GPT2Config(), BertConfig()])
def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path, config: PretrainedConfig) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds no vocabulary: there is no vocab\.") as error:
        load_tokenizer(tmp_path)
    assert f'AutoTokenizer.from_pretrained("NAME").save_pretrained({str(tmp_path)!r})' in str(error.value)


def test_a_folder_with_only_the_options_of_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"holds no vocabulary: there is no tokenizer\.json"):
        ConversationTokenizer.from_pretrained(folder)


def test_a_vocabulary_in_vocab_txt_is_enough(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    assert load_tokenizer(tmp_path)("hello you", add_special_tokens=False)["input_ids"] == [5, 6]
    (tmp_path / "vocab.txt").write_text(POINTER)
    with pytest.raises(ValueError, match=r"vocab\.txt: is a pointer of Git LFS"):
        load_tokenizer(tmp_path)


def test_merges_are_not_left_out(tmp_path: Path) -> None:
    GPT2Config().save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}))
    with pytest.raises(ValueError, match=r"there is no tokenizer\.json and no merges\.txt;"):
        load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    assert load_tokenizer(tmp_path)("ab")["input_ids"] == [2]


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("contents", ["", "{", "[1]", "null", "<html>", POINTER])
def test_a_damaged_file_is_named(folder: Path, file: str, contents: str) -> None:
    (folder / file).write_text(contents)
    with pytest.raises(ValueError, match=rf"{file.replace('.', '[.]')}:?1?: (is|holds) ") as error:
        load_tokenizer(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("contents", ["{}", '{"version": "1.0", "added_tokens": [], "model": {"type": "None"}}'])
def test_an_object_that_is_no_tokenizer_is_refused(folder: Path, contents: str) -> None:
    (folder / "tokenizer.json").write_text(contents)
    with pytest.raises(ValueError, match=r"its tokenizer \(tokenizer\.json, tokenizer_class \w+\) cannot be loaded: "):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("file", "contents", "message"),
    [
        ("chat_template.jinja", b"", "is empty; copy"),
        ("chat_template.jinja", b"ab\xff", r"is not UTF-8 \(byte 3\); copy"),
        ("tokenizer.model", b"", "is empty; copy"),
    ],
)
def test_a_text_that_is_damaged_is_named(folder: Path, file: str, contents: bytes, message: str) -> None:
    if file == "tokenizer.model":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (folder / file).write_bytes(contents)
    with pytest.raises(ValueError, match=rf"{file.replace('.', '[.]')}: {message}"):
        load_tokenizer(folder)


def test_a_name_that_the_hub_does_not_give_is_told() -> None:
    with pytest.raises(FileNotFoundError, match="no-one/nothing: its tokenizer cannot be loaded"):
        load_tokenizer("no-one/nothing")
