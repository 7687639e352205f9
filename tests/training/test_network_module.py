"""Training of adapters: resuming, accumulation, processes, exports, and checkpoints without the base model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from convmodel.models.card import ModelCard
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.lora import Lora
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.conversation_module import ConversationModule
from tests.models.encoder_decoders import save_encoder_decoder
from tests.training.conftest import Workshop, difference
from tests.training.test_checkpoint import callback
from tests.training.test_language_module import CONVERSATIONS, SIZES, batch_of, gradients_of_one_step

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)

OPTIONS: dict[str, Any] = {"model__lora__r": 2, "model__learning_rate": 0.01, "data__on_error": "skip"}


def write_base(folder: Path, tokenizer: ConversationTokenizer, *, seed: int = 0) -> str:
    torch.manual_seed(seed)
    module = ConversationModule(from_scratch=SIZES)
    module.tokenizer = tokenizer
    module.configure_model()
    module.language_model().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def base(tmp_path: Path, tokenizer: ConversationTokenizer) -> str:
    return write_base(tmp_path / "base", tokenizer)


def module_of(base: str, **options: Any) -> ConversationModule:
    torch.manual_seed(0)
    module = ConversationModule(base, lora=Lora(r=2), schedule="constant", warmup_steps=0, **options)
    assert module.tokenizer is not None
    module.configure_model()
    return module


def test_an_encoder_decoder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save_encoder_decoder(tmp_path, "t5")
    with pytest.raises(ValueError, match=r"holds a 't5', an encoder-decoder, .*; train it with .*Trainer") as told:
        _ = ConversationModule(str(tmp_path)).n_positions
    assert str(told.value).startswith(f"model.pretrained_model_name_or_path={tmp_path}: ")


def test_accumulated_batches_have_the_gradients_of_one_large_batch(base: str, tokenizer: ConversationTokenizer) -> None:
    small = [batch_of(tokenizer, [turns]) for turns in CONVERSATIONS]
    accumulated = gradients_of_one_step(module_of(base), small, accumulate_grad_batches=4)
    at_once = gradients_of_one_step(module_of(base), [batch_of(tokenizer, CONVERSATIONS)])
    assert accumulated.keys() == at_once.keys() and all("lora_" in name for name in at_once)
    for name, gradient in at_once.items():
        assert torch.allclose(accumulated[name], gradient, rtol=1e-9, atol=1e-12), name


def test_checkpointed_activations_give_the_same_gradients(base: str, tokenizer: ConversationTokenizer) -> None:
    batch = batch_of(tokenizer, CONVERSATIONS)
    kept = gradients_of_one_step(module_of(base), [batch])
    module = module_of(base, gradient_checkpointing=True)
    assert module.hf_model is not None
    again = gradients_of_one_step(module, [batch])
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        assert torch.allclose(again[name], gradient, rtol=1e-9, atol=1e-12), name


def test_only_the_adapters_change_and_writing_does_not_disturb_them(
    base: str, tokenizer: ConversationTokenizer
) -> None:
    module = module_of(base, learning_rate=0.1)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    gradients_of_one_step(module, [batch_of(tokenizer, CONVERSATIONS)])
    module.float()
    after = {name: p.detach().clone() for name, p in module.named_parameters()}
    changed = {name for name, weights in after.items() if not torch.equal(weights.double(), before[name].double())}
    assert changed and all("lora_" in name for name in changed)
    module.language_model().generate(["Hello"])
    assert difference(after, {name: p.detach() for name, p in module.named_parameters()}) == 0


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("merge", [True, False])
def test_an_exported_folder_has_the_logits_of_the_trained_model(
    workshop: Workshop, base: str, tokenizer: ConversationTokenizer, merge: bool
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    options = {"model__pretrained_model_name_or_path": base, "model__merge_lora": str(merge).lower(), **OPTIONS}
    log = workshop.train(trainer__max_steps=5, **options)
    assert "trainable 256 of 4,216 parameters" in log and "memory: a step takes" in log
    folder = workshop.folder / "run" / "model"
    ids = batch_of(tokenizer, CONVERSATIONS)["input_ids"]
    checkpoint = workshop.checkpoint()
    module = module_of(base)
    module.load_state_dict(checkpoint["state_dict"], strict=False)
    assert module.hf_model is not None
    expected = module.hf_model.eval()(input_ids=ids).logits
    exported: Any
    if merge:
        exported = ConversationModel.from_pretrained(folder, device="cpu").hf_model
        assert not (folder / "adapter_config.json").exists()
    else:
        names = {"adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json"}
        assert names <= {file.name for file in folder.iterdir()} and not (folder / "model.safetensors").exists()
        written = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        assert written["base_model_name_or_path"] == base
        assert "convmodel" in (folder / "README.md").read_text(encoding="utf-8")
        exported = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(folder)).eval()
    assert torch.allclose(exported(input_ids=ids).logits, expected, atol=1e-4)
    assert not torch.allclose(AutoModelForCausalLM.from_pretrained(base)(input_ids=ids).logits, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_killed_run_resumes_with_equal_weights_and_its_checkpoint_holds_the_adapters_alone(
    workshop: Workshop, base: str, capsys: pytest.CaptureFixture[str], tokenizer: ConversationTokenizer
) -> None:
    options = {"model__pretrained_model_name_or_path": base, "model__lora__dropout": 0.1, **OPTIONS}
    run: dict[str, Any] = {
        "trainer__max_epochs": 2,
        "checkpoint__every_n_steps": 5,
        "trainer__accumulate_grad_batches": 2,
        "data__tokens_per_batch": 512,
    }
    workshop.train(run="whole", **options, **run)
    killed = workshop.run_fork(run="cut", trainer__callbacks=callback("KillAt", step=8), **options, **run)
    assert killed.status < 0, killed.text
    names = workshop.weights("cut")
    assert names and all("lora_" in name for name in names)
    log = workshop.train(run="cut", ckpt_path="last", **run)  # what is trained comes from the checkpoint
    assert "model.lora: " in log
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    models = [ConversationModel.from_pretrained(workshop.folder / run / "model") for run in ("whole", "cut")]
    assert difference(*(model.hf_model.state_dict() for model in models)) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        workshop.train(run="cut", ckpt_path="last", model__lora__r=4, trainer__max_epochs=3)
    assert "model.lora.r=4, but the checkpoint has 2" in capsys.readouterr().err
    write_base(Path(base), tokenizer, seed=1)
    with pytest.raises(SystemExit):
        workshop.train(run="cut", ckpt_path="last", trainer__max_epochs=3)
    assert "base: holds other weights than those with which the checkpoint's adapters" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_learn_as_one_does(workshop: Workshop, base: str) -> None:
    options = {"model__pretrained_model_name_or_path": base, "trainer__max_steps": 5, **OPTIONS}
    result = workshop.run_two(**options)
    assert result.status == 0, result.text
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **options)
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": Lora()}, r"model\.lora adapts a trained model: give its name or folder"),
        ({"lora": Lora(r=0), "pretrained_model_name_or_path": "base"}, r"model\.lora\.r=0; it must be at least 1"),
        (
            {"lora": Lora(), "pretrained_model_name_or_path": "base", "optimizer": "muon"},
            r"model\.optimizer=muon with model\.lora: .* use adamw",
        ),
    ],
)
def test_options_that_do_not_go_together_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConversationModule(**options)


def test_the_default_learning_rate_of_adapters_is_higher(base: str) -> None:
    assert module_of(base)._learning_rate == 2e-4
    assert ConversationModule(base)._learning_rate == 5e-5


def test_training_begins_from_an_adapter_merged_into_its_base(base: str, tmp_path: Path) -> None:
    first = module_of(base, merge_lora=False)
    with torch.no_grad():
        for parameter in first.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    first.export(tmp_path / "adapter", card=ModelCard(), weights={})
    second = module_of(str(tmp_path / "adapter"), merge_lora=False)
    expected = first.language_model().hf_model.state_dict()
    merged = second.language_model().hf_model.state_dict()
    assert expected.keys() == merged.keys()
    for name, weights in expected.items():
        assert torch.allclose(weights, merged[name], atol=1e-5), name
    second.export(tmp_path / "second", card=ModelCard(), weights={})
    model = ConversationModel.from_pretrained(tmp_path / "second", "cpu", "float32")
    assert torch.allclose(model.hf_model.state_dict()[name], expected[name], atol=1e-5)
