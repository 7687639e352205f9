"""Adapters over a base in memory against the same folders merged with peft, and the errors of folders that cannot."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

pytest.importorskip("peft")

from convmodel.models.adapter_folder import load_adapter, open_adapter
from convmodel.models.adapter_source import AdapterSource
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.lora import ADAPTER, ADAPTER_WEIGHTS
from convmodel.models.source import open_source
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import TEXTS
from tests.models.adapters import save_adapter, save_base

pytestmark = pytest.mark.filterwarnings("ignore")  # peft uses what transformers will remove

KINDS = ("llama", "gpt2")
CONTEXT = TEXTS[:3]


@pytest.fixture(params=KINDS)
def base(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: ConversationTokenizer) -> Path:
    return save_base(tmp_path / "base", tokenizer, kind=request.param)


@pytest.fixture
def llama(tmp_path: Path, tokenizer: ConversationTokenizer) -> Path:
    return save_base(tmp_path / "base", tokenizer)


def load(base: Path, adapter: Path, **options: Any) -> ConversationModel:
    model = ConversationModel.from_pretrained(base, **options)
    return load_adapter(model, open_adapter(str(adapter), open_source(base))).model


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def logits_of(model: ConversationModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.hf_model(input_ids=torch.arange(2, 40)[None]).logits
    return logits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True, "bias": "none", "init_lora_weights": False},
        {"rank_pattern": {"q_proj": 2, "c_fc": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 9, "c_fc": 9}},
        {"target_modules": ["q_proj", "k_proj", "gate_proj", "c_attn"], "layers_to_transform": [1]},
    ],
    ids=lambda options: json.dumps(options),
)
def test_a_model_with_an_adapter_equals_the_merged_one(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    adapter = save_adapter(tmp_path / "adapter", base, **options)
    merged, adapted = ConversationModel.from_pretrained(adapter), load(base, adapter)
    expected = logits_of(merged)
    torch.testing.assert_close(logits_of(adapted), expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)
    assert not expected.allclose(logits_of(ConversationModel.from_pretrained(base)), atol=0.1)
    greedy: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    assert adapted.generate(CONTEXT, **greedy).responses == merged.generate(CONTEXT, **greedy).responses
    scores = [model.score(CONTEXT, TEXTS).summed for model in (adapted, merged)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_tokenizer_layout_and_options_are_the_adapters_own(llama: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama)
    assert load(llama, adapter).generation_config.max_new_tokens != 7
    (adapter / "generation_config.json").write_text(json.dumps({"max_new_tokens": 7, "self_repetition_penalty": 0.5}))
    own = ConversationTokenizer.learn(TEXTS * 3, 300)
    own.save_pretrained(adapter)
    adapted = load(llama, adapter)
    assert adapted.generation_config.max_new_tokens == 7 and len(adapted.tokenizer) == len(own)
    assert adapted.decoding().config.max_new_tokens == 7


def test_all_adapters_of_a_base_have_its_weights_once(llama: Path, tmp_path: Path) -> None:
    model, source = ConversationModel.from_pretrained(llama), open_source(llama)
    folders = [save_adapter(tmp_path / f"adapter{seed}", llama, seed=seed) for seed in range(2)]
    adapted = [load_adapter(model, open_adapter(str(folder), source)).model for folder in folders]
    weights = {id(weight) for weight in model.hf_model.parameters()}
    assert all({id(weight) for weight in each.hf_model.parameters()} == weights for each in adapted)
    assert not logits_of(adapted[0]).allclose(logits_of(adapted[1]), atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_dora": True}, "use_dora=True, which cannot share a base"),
        ({"modules_to_save": ["embed_tokens"]}, r"modules_to_save=\['embed_tokens'\]"),
        ({"trainable_token_indices": [3]}, r"trainable_token_indices=\[3\]"),
        ({"bias": "all"}, "bias='all', of which only 'none'"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens.* is not half of a low-rank product"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', which changed the weights of the base"),
    ],
)
def test_an_adapter_of_more_than_products_is_refused_by_name(
    llama: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama, **options)
    with pytest.raises(ValueError, match=message) as caught:
        load(llama, adapter)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_shape_is_refused(llama: Path, tmp_path: Path, tokenizer: ConversationTokenizer) -> None:
    larger = save_base(tmp_path / "larger", tokenizer, size=32)
    adapter = save_adapter(tmp_path / "adapter", larger)
    change(adapter / ADAPTER, base_model_name_or_path=str(llama))
    with pytest.raises(
        ValueError, match=r"changes model\.layers\.0.* of the shape \(.*the base model has \("
    ) as caught:
        load(llama, adapter)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_architecture_is_refused(
    llama: Path, tmp_path: Path, tokenizer: ConversationTokenizer
) -> None:
    adapter = save_adapter(tmp_path / "adapter", save_base(tmp_path / "gpt2", tokenizer, kind="gpt2"))
    change(adapter / ADAPTER, base_model_name_or_path=str(llama))
    with pytest.raises(ValueError, match="the base model has no such linear layer"):
        load(llama, adapter)


def test_an_adapter_of_another_base_is_refused_by_its_name(llama: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(llama, other)
    adapter = save_adapter(tmp_path / "adapter", other)
    with pytest.raises(ValueError, match=f"was trained on {other}, and --model is {llama}; give --model {other}"):
        load(llama, adapter)
    change(adapter / ADAPTER, base_model_name_or_path="someone/else")
    with pytest.raises(ValueError, match="was trained on someone/else"):
        load(llama, adapter)


@pytest.mark.parametrize("name", ["someone/base", "gone/base", None])
def test_a_base_that_was_moved_is_known_by_the_last_part_of_its_name(llama: Path, tmp_path: Path, name: Any) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama)
    change(adapter / ADAPTER, base_model_name_or_path=name)
    assert load(llama, adapter).n_positions == 96


def test_weights_that_are_cut_or_not_finite_are_refused(llama: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama)
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    name = min(weights)
    save_file({each: tensor for each, tensor in weights.items() if each != name}, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(ValueError, match="is not half of a low-rank product"):
        load(llama, adapter)
    save_file(weights | {name: weights[name] * float("nan")}, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        load(llama, adapter)


def test_int8_quantises_the_base_once(llama: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama)
    quantised = load(llama, adapter, dtype="int8")
    assert {type(module).__name__ for module in quantised.hf_model.modules()} >= {"Int8Linear", "AdaptedLayer"}
    assert not any(isinstance(module, nn.Linear) for module in quantised.hf_model.modules())
    torch.testing.assert_close(logits_of(quantised), logits_of(load(llama, adapter)), atol=0.3, rtol=0.1)


def test_peft_is_not_needed(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = save_adapter(tmp_path / "adapter", llama)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(AdapterSource.read(str(adapter)), AdapterSource)
    assert load(llama, adapter).n_positions == 96
