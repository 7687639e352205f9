"""Muon with AdamW as one optimiser: its steps, its state, gradient scaling, and whole runs."""

import copy
from typing import Any

import pytest
import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.optim import AdamW, Muon
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.models.from_scratch import FromScratch
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.conversation_module import ConversationModule
from convmodel.training.muon import MuonAdamW, layer_matrices, orthogonalize
from tests.training.conftest import Workshop, difference
from tests.training.test_checkpoint import callback
from tests.training.test_language_module import module_of
from tests.training.test_processes import STILL

OPTIONS: dict[str, Any] = {"model__optimizer": "muon", "model__learning_rate": 0.01}


def tiny_network() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=11, n_positions=8, n_layer=1, n_head=2, n_embd=8, resid_pdrop=0, embd_pdrop=0)
    network = GPT2LMHeadModel(config)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


def groups_of(network: nn.Module) -> tuple[list[Tensor], list[dict[str, Any]]]:
    matrices = layer_matrices(network, None)
    others = [p for p in network.parameters() if all(p is not matrix for matrix in matrices)]
    return matrices, [{"params": others[:2], "weight_decay": 0.1}, {"params": others[2:], "weight_decay": 0.0}]


def optimizer_of(network: nn.Module, **options: Any) -> MuonAdamW:
    return MuonAdamW(*groups_of(network), lr=0.1, weight_decay=0.1, betas=(0.9, 0.95), fused=False, **options)


def test_matrices_are_those_of_the_layers() -> None:
    network = tiny_network()
    names = {name for name, p in network.named_parameters() if any(p is m for m in layer_matrices(network, None))}
    layers = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}
    assert names == {f"transformer.h.0.{layer}.weight" for layer in layers}
    head = nn.Linear(8, 11, bias=False)
    assert layer_matrices(nn.ModuleList([head]), head.weight) == []
    head.requires_grad_(False)
    assert layer_matrices(nn.ModuleList([head]), None) == []


@pytest.mark.machine
def test_a_step_is_that_of_muon_and_adamw_each_with_its_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's Muon computes in bfloat16; in float32 the steps differ by its rounding."""
    monkeypatch.setenv("CONVMODEL_BF16", "1")
    network, oracle = tiny_network(), tiny_network()
    optimizer = optimizer_of(network)
    matrices, groups = groups_of(oracle)
    parts = [
        Muon(matrices, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        AdamW(groups, lr=0.1, betas=(0.9, 0.95)),
    ]
    for step in range(3):
        for group in (*optimizer.param_groups, *(group for part in parts for group in part.param_groups)):
            group["lr"] = 0.1 / (1 + step)
        optimizer.step()
        for part in parts:
            part.step()
    assert difference(network.state_dict(), oracle.state_dict()) < 2e-7


def test_in_float32_a_matrix_is_made_orthogonal_as_the_formula_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVMODEL_BF16", "0")
    torch.manual_seed(0)
    for shape in ((8, 20), (20, 8), (8, 8)):
        matrix = torch.randn(shape)
        u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
        s = s / s.norm()
        for _ in range(5):  # the polynomial acts on the singular values alone
            s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
        expected = u @ torch.diag(s) @ v
        assert float((orthogonalize(matrix) - expected).abs().max()) < 1e-5
        monkeypatch.setenv("CONVMODEL_BF16", "1")
        assert float((orthogonalize(matrix) - expected).abs().max()) < 0.05
        monkeypatch.setenv("CONVMODEL_BF16", "0")


def test_an_update_has_the_size_of_adamw_for_any_shape() -> None:
    """The root mean square of an update is 0.2 of the rate, stored as (in, out) or as (out, in)."""
    for shape in ((8, 32), (32, 8), (16, 16)):
        matrix = nn.Parameter(torch.zeros(shape))
        matrix.grad = torch.randn(shape)
        other = nn.Parameter(torch.zeros(2))
        MuonAdamW([matrix], [{"params": [other]}], lr=0.1, weight_decay=0.0, betas=(0.9, 0.9), fused=False).step()
        assert float(matrix.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=0.25)


def test_a_restored_state_steps_as_the_original_does() -> None:
    network, other = tiny_network(), tiny_network()
    optimizer = optimizer_of(network)
    optimizer.step()
    other.load_state_dict(network.state_dict())
    restored = optimizer_of(other)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch shares the tensors of a state
    for each in (optimizer, restored):
        each.step()
    assert difference(network.state_dict(), other.state_dict()) == 0
    assert len(optimizer.state_dict()["state"]) == len([*network.parameters()])


def test_scaled_gradients_are_unscaled_before_the_step() -> None:
    network, scaled = tiny_network(), tiny_network()
    optimizer_of(network).step()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.zeros(()))
    for parameter in scaled.parameters():
        assert parameter.grad is not None
        parameter.grad.mul_(1024.0)
    scaler.step(optimizer_of(scaled))
    assert difference(network.state_dict(), scaled.state_dict()) < 1e-6


def test_the_closure_is_run_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    bias = nn.Parameter(torch.ones(2))
    optimizer = MuonAdamW([weight], [{"params": [bias]}], lr=0.1, weight_decay=0.0, betas=(0.9, 0.9), fused=False)

    def closure() -> float:
        loss = (weight @ bias).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    assert weight.grad is not None and bool((weight != 1).any())


def test_sharded_weights_are_refused(tokenizer: ConversationTokenizer) -> None:
    module = module_of(tokenizer, optimizer="muon")
    module._trainer = type("Sharded", (), {"strategy": object.__new__(FSDPStrategy)})()
    with pytest.raises(ValueError, match=r"model.optimizer=muon with trainer.strategy=fsdp: .* use ddp, or adamw"):
        module.on_fit_start()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_resumed_run_has_equal_weights(workshop: Workshop, precision: str) -> None:
    options = OPTIONS | {"trainer__precision": precision, "trainer__max_epochs": 2, "checkpoint__every_n_steps": 5}
    options |= {"trainer__accumulate_grad_batches": 2, "data__tokens_per_batch": 512}
    workshop.train(run="whole", **options)
    workshop.run_fork(run="cut", trainer__callbacks=callback("KillAt", step=8), **options)
    assert workshop.checkpoint("cut")["global_step"] == 5
    workshop.train(run="cut", ckpt_path="last", **options)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


@pytest.mark.slow
def test_two_processes_step_as_one(workshop: Workshop) -> None:
    options = OPTIONS | {"trainer__max_steps": 5, "trainer__precision": "32-true", **STILL}
    result = workshop.run_two(**options)
    assert result.status == 0, result.text
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **options)
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-3  # the products are in bfloat16


@pytest.mark.slow
def test_a_checkpoint_of_another_optimiser_is_refused(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.train(trainer__max_steps=1, model__optimizer="adamw")
    with pytest.raises(SystemExit):
        workshop.train(trainer__max_steps=2, ckpt_path="last", **OPTIONS)
    assert "model.optimizer=muon, but the checkpoint has adamw" in capsys.readouterr().err


def test_new_models_use_muon_and_pretrained_ones_adamw() -> None:
    assert ConversationModule(from_scratch=FromScratch()).hparams["optimizer"] == "muon"
    assert ConversationModule(pretrained_model_name_or_path="gpt2").hparams["optimizer"] == "adamw"
    assert ConversationModule(from_scratch=FromScratch(), optimizer="adamw").hparams["optimizer"] == "adamw"
