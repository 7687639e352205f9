"""Folders and fingerprints of selectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR, WEIGHTS
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine


CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]


CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No"]


ALL = [(cls, kind) for cls in (BiEncoder, PolyEncoder) for kind in ("bert", "distilbert", "gpt2")]


@pytest.mark.parametrize(("cls", "architecture"), ALL)
@pytest.mark.parametrize("shared", [True, False])
def test_a_saved_selector_scores_the_same_when_loaded(
    make_selector: MakeSelector, tmp_path: Path, cls: type[BiEncoder], architecture: str, shared: bool
) -> None:
    selector = make_selector(cls, architecture, shared=shared, pooling="mean")
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    assert type(loaded) is cls and loaded.options() == selector.options()
    assert loaded.fingerprint() == selector.fingerprint()
    assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), selector.score(CONTEXTS, CANDIDATES))
    assert "score" in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")


def test_the_error_names_what_a_folder_holds_instead(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector().save_pretrained(tmp_path / "bi")
    with pytest.raises(ValueError, match="holds a bi-encoder; load it with BiEncoder, or with Selector"):
        PolyEncoder.from_pretrained(tmp_path / "bi")
    (tmp_path / "bi" / "selector.json").write_text(json.dumps({"kind": "other"}), encoding="utf-8")
    with pytest.raises(ValueError, match="is not what this version saves"):
        Selector.from_pretrained(tmp_path / "bi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no selector\.json"):
        Selector.from_pretrained(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a transformers model, .* but no selector"):
        Selector.from_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("cls", [BiEncoder, CrossEncoder])
def test_the_fingerprint_depends_neither_on_paths_nor_on_library_versions(
    tokenizer: ConversationTokenizer, tmp_path: Path, cls: type[BiEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index cannot be opened with a model of another fingerprint, not even after an update of transformers."""
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = BertModel(BertConfig(vocab_size=len(tokenizer), intermediate_size=32, pad_token_id=None, **sizes))
    for name in ("here", "there"):
        network.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    torch.manual_seed(0)
    selector = cls.from_encoder(tmp_path / "here")
    fingerprint = selector.fingerprint()
    assert str(tmp_path) not in json.dumps(selector.options())
    monkeypatch.setattr("transformers.configuration_utils.__version__", "99.0")
    assert selector.fingerprint() == fingerprint
    torch.manual_seed(0)
    assert cls.from_encoder(tmp_path / "there").fingerprint() == fingerprint


def test_damaged_folders_and_unknown_dtypes_are_refused(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector().save_pretrained(tmp_path)
    for dtype in ("nonsense", "relu", "int32"):
        with pytest.raises(ValueError, match=f"dtype='{dtype}'; allowed are auto, float32, bfloat16"):
            Selector.from_pretrained(tmp_path, dtype=dtype)
    config = (tmp_path / "selector.json").read_text(encoding="utf-8")
    for options in ({}, {"encoder": {"model_type": "bert"}, "shared": True, "unknown": 1}):
        (tmp_path / "selector.json").write_text(json.dumps({"kind": "bi-encoder", "options": options}))
        with pytest.raises(ValueError, match=r"selector\.json: is not what this version saves"):
            Selector.from_pretrained(tmp_path)
    (tmp_path / "selector.json").write_text(config, encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"no weights" * 9)
    with pytest.raises(ValueError, match=r"model\.safetensors: is damaged or cut off at 90 bytes"):
        Selector.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"holds no model\.safetensors; the weights in other\.safetensors"):
        Selector.from_pretrained(tmp_path)


def test_configuration_keys_of_a_later_transformers_do_not_change_the_fingerprint(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    selector = make_selector(BiEncoder)
    selector.save_pretrained(tmp_path)
    loaded = Selector.from_pretrained(tmp_path)
    assert loaded.fingerprint() == selector.fingerprint()
    file = tmp_path / "selector.json"
    saved = json.loads(file.read_text())
    del saved["options"]["encoder"]["chunk_size_feed_forward"]  # as though it had come with a later version
    file.write_text(json.dumps(saved))
    older = Selector.from_pretrained(tmp_path)
    assert json.loads(json.dumps(older.options())) == saved["options"]
    older.save_pretrained(tmp_path / "again")
    assert Selector.from_pretrained(tmp_path / "again").fingerprint() == older.fingerprint()


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


NORM = "contexts.hf_model.encoder.layer.1.output.LayerNorm.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(NORM), rf"lack 1 of the 37 of this bi-encoder: {NORM}; random numbers would"),
        (lambda weights: weights.update({"x.1": torch.zeros(2)}), r"holds x\.1, which the bi-encoder .* does not have"),
        (lambda weights: weights.update({NORM: torch.zeros(3)}), rf"{NORM} with the shape \(3,\), and selector\.json"),
        (lambda weights: weights[NORM][:2].fill_(float("nan")), rf"{NORM} holds NaN or infinity \(2 of 16 values"),
        (
            lambda weights: weights.update({NORM: weights[NORM].to(torch.uint8)}),
            rf"hold {NORM} as uint8; allowed are F64",
        ),
        (lambda weights: weights[NORM][:1].fill_(-float("inf")), rf"{NORM} holds NaN or infinity \(1 of 16 values"),
    ],
)
def test_weights_that_are_not_whole_are_refused(
    make_selector: MakeSelector, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    make_selector().save_pretrained(tmp_path)
    change_weights(tmp_path, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{message}"):
        Selector.from_pretrained(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("pooling", "best"), ("max_context", "sixty"), ("max_context", 10**6)])
def test_options_of_the_wrong_kind_are_refused(
    make_selector: MakeSelector, tmp_path: Path, name: str, value: object
) -> None:
    make_selector().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / SELECTOR).read_text())
    saved["options"][name] = value
    (tmp_path / SELECTOR).write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"selector\.json: is not what this version saves; give a folder made by"):
        Selector.from_pretrained(tmp_path)


def test_a_selector_without_a_vocabulary_is_refused(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="holds no vocabulary"):
        Selector.from_pretrained(tmp_path)
