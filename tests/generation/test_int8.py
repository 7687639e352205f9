"""Products in whole numbers against a few plain lines in fp64, and a whole GPT-2 in int8 against itself in fp32."""

import random
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from convmodel.generation.cpu import has_vnni
from convmodel.generation.engine import Engine
from convmodel.generation.int8 import DynamicInt8Linear, Int8Linear, is_int8, to_int8
from convmodel.generation.request import GenerationRequest
from convmodel.models.conversation_model import ConversationModel
from tests.conftest import MakeModel

pytestmark = pytest.mark.machine

Kind = type[Int8Linear] | type[DynamicInt8Linear]

STEPS = 255 if has_vnni() else 127
"""Into so many steps a row is rounded, from its largest number below 0 to that above."""


def plain_int8(weight: Tensor, bias: Tensor, x: Tensor, zero: int, last: int = STEPS) -> Tensor:
    """(N, in) in, (N, out) out: every number rounded by itself, everything added in fp64; 0 is step `zero`."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    whole = torch.where(scale > 0, weight / scale, 0).round().double()
    peaks = x.double().abs().amax(1, keepdim=True)
    steps = torch.where(peaks > 0, x.double() / peaks * (STEPS / 2), 0) + zero
    rows = (steps.round().clamp(0, last) - zero) / (STEPS / 2) * peaks
    return rows @ (whole * scale).t() + bias.double()


@pytest.mark.parametrize(("width", "out"), [(16, 48), (33, 7), (2, 3), (64, 320)])
@torch.inference_mode()
def test_an_int8_product_equals_a_few_plain_lines(width: int, out: int) -> None:
    torch.manual_seed(width)
    weight, bias = torch.randn(out, width) * torch.rand(out, 1), torch.randn(out)
    layer, without = DynamicInt8Linear(weight, bias), DynamicInt8Linear(weight, None)
    x = torch.randn(300, width) * 10 ** torch.randn(300, 1)
    step = 2 / STEPS * x.abs().amax(1, keepdim=True).double() * weight.abs().amax(1).double()
    far = []
    # The middle of an odd number of steps: a processor takes one of the two, and some have room for one step more.
    for zero, last in product((STEPS // 2, STEPS // 2 + 1), {STEPS, min(STEPS + 1, 255)}):
        distance = (layer(x).double() - plain_int8(weight, bias, x, zero, last)).abs()
        assert (distance <= 2 * step + 1e-5).all()
        far.append(int((distance > 0.01 * step + 1e-5).any(1).sum()))
    assert min(far) <= 3  # rows with a number so near half-way between two steps that it is rounded to the other
    assert torch.allclose(without(x) + bias, layer(x), rtol=1e-5, atol=1e-5)
    exact = x.double() @ weight.t().double() + bias
    assert ((layer(x) - exact).abs() <= 4 * width**0.5 * step + 1e-5).all()


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 300])
@pytest.mark.parametrize(("width", "out"), [(16, 48), (33, 7), (2, 3), (600, 400)])
@torch.inference_mode()
def test_a_product_of_a_language_model_is_that_of_its_rounded_weights(width: int, out: int, rows: int) -> None:
    torch.manual_seed(width)
    weight, bias = torch.randn(out, width) * torch.rand(out, 1), torch.randn(out)
    x = torch.randn(rows, width)
    x[:, 1] *= 300
    scale = weight.abs().amax(1, keepdim=True) / 127
    exact = x.double() @ ((weight / scale).round().double() * scale.double()).t()
    step = x.abs().amax(1, keepdim=True) / min(32_767, 2**31 // (127 * (width + 1)))
    for given in (bias, None):
        result = Int8Linear(weight, given)(x).double() - (0 if given is None else bias)
        assert ((result - exact).abs() <= 0.51 * step * weight.abs().sum(1) + 1e-4).all()


def odd_rows(source: random.Random, width: int) -> Tensor:
    """Rows of very different sizes, zeros and single peaks among them."""
    rows = []
    for _ in range(source.randint(1, 40)):
        kind = source.randrange(5)
        row = torch.randn(width) * 10.0 ** source.randint(-20, 20)
        if kind == 0:
            row = torch.zeros(width)
        elif kind == 1:
            row = torch.zeros(width)
            row[source.randrange(width)] = source.choice([-1, 1]) * 3e38
        elif kind == 2:
            row = torch.full((width,), 1e-44)
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("kind", [Int8Linear, DynamicInt8Linear])
@torch.inference_mode()
def test_a_row_gives_the_same_bits_alone_and_with_any_other_rows(kind: Kind) -> None:
    torch.manual_seed(0)
    layer, source = kind(torch.randn(40, 24), torch.randn(40)), random.Random(0)
    own = torch.cat([torch.randn(4, 24), torch.zeros(1, 24), 1e30 * torch.randn(1, 24), 1e-30 * torch.randn(1, 24)])
    alone = torch.cat([layer(row[None]) for row in own])
    for _ in range(60):
        others = odd_rows(source, 24)
        position = source.randint(0, len(others))
        together = layer(torch.cat([others[:position], own, others[position:]]))
        assert together[position : position + len(own)].equal(alone)


@pytest.mark.parametrize("kind", [Int8Linear, DynamicInt8Linear])
@torch.inference_mode()
def test_a_row_of_zeros_and_weights_of_zero_give_the_bias(kind: Kind) -> None:
    bias = torch.randn(5)
    layer = kind(torch.randn(5, 8), bias)
    assert layer(torch.zeros(3, 8)).equal(bias.expand(3, 5))
    assert kind(torch.zeros(5, 8), bias)(torch.randn(3, 8)).equal(bias.expand(3, 5))


@pytest.mark.parametrize("kind", [Int8Linear, DynamicInt8Linear])
@torch.inference_mode()
def test_any_shape_before_the_width_is_kept(kind: Kind) -> None:
    layer = kind(torch.randn(5, 8), torch.randn(5))
    x = torch.randn(2, 3, 8)
    assert layer(x).shape == (2, 3, 5) and layer(x)[1, 2].equal(layer(x[1, 2]))
    assert layer(torch.empty(0, 8)).shape == (0, 5)


@pytest.mark.parametrize("kind", [Int8Linear, DynamicInt8Linear])
def test_a_device_without_int8_products_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match=r'dtype="int8" runs on the CPU .* here are meta and torch .*; use dtype='):
        kind(torch.empty(3, 4, device="meta"), None)


# A whole GPT-2


def network(*, width: int = 64, spread: float = 0.4) -> GPT2LMHeadModel:
    """A GPT-2 of 24 tokens with random weights."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_positions": 32, "n_layer": 2, "n_head": 2, "n_embd": width, "initializer_range": spread}
    return GPT2LMHeadModel(GPT2Config(vocab_size=24, bos_token_id=23, eos_token_id=23, **sizes)).eval()


def loss_of(model: GPT2LMHeadModel, ids: Tensor) -> Tensor:
    """Nats for each token but the first."""
    logits = model(ids, token_type_ids=torch.zeros_like(ids)).logits
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def trained() -> GPT2LMHeadModel:
    """A GPT-2 that learned to count."""
    model = network(spread=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        loss_of(model, counting(16)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def counting(rows: int) -> Tensor:
    """(rows, 20) sequences that count in steps of one or two from anywhere; one in ten numbers is another."""
    ids = (torch.randint(22, (rows, 1)) + torch.randint(1, 3, (rows, 1)) * torch.arange(20)) % 22
    return torch.where(torch.rand(rows, 20) < 0.1, torch.randint(22, (rows, 20)), ids)


def test_perplexity_and_likeliest_tokens_stay_close_to_fp32() -> None:
    """The claim of half a percent, at a size at which it can be tested: a model that has learned something."""
    model = trained()
    ids = counting(64)
    types = torch.zeros_like(ids)
    with torch.no_grad():
        loss, logits = loss_of(model, ids), model(ids, token_type_ids=types).logits
        to_int8(model)
        result, whole = loss_of(model, ids), model(ids, token_type_ids=types).logits
    assert loss < 2.0  # it did learn: log(22) is 3.1
    assert float(result.exp()) == pytest.approx(float(loss.exp()), rel=0.005)
    assert float((logits.argmax(-1) == whole.argmax(-1)).float().mean()) > 0.97
    assert float((logits - whole).abs().mean()) < 0.03 * float(logits.std())


def test_all_linear_layers_become_int8_but_embeddings_and_norms_stay() -> None:
    model = network(width=16)
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert not is_int8(model)
    to_int8(model)
    assert is_int8(model)
    assert not [module for module in model.modules() if isinstance(module, Conv1D | nn.Linear)]
    assert sum(isinstance(module, Int8Linear) for module in model.modules()) == 2 * 4 + 1
    left = dict(model.named_parameters())
    assert {name.split(".")[-2].split("_")[0] for name in left} == {"wte", "wpe", "ln"}
    assert all(value.equal(before[name]) for name, value in left.items())


def test_replies_are_the_same_alone_and_among_32() -> None:
    model = network()
    to_int8(model)
    source = random.Random(0)
    requests = []
    for seed in range(32):
        context = [source.randrange(22) for _ in range(source.randint(1, 16))]
        options: dict[str, Any] = {"do_sample": seed % 2 == 0, "temperature": 1.3, "top_k": 0, "max_new_tokens": 12}
        how = GenerationConfig(eos_token_id=[23], **options)
        requests.append(GenerationRequest(context, [0] * len(context), how, seed=seed))
    alone = [Engine(model, max_running=1).run([request])[0].tokens for request in requests]
    for pieces in (5, 256):
        together = Engine(model, read_per_step=pieces, packed=True).run(requests)
        assert [ticket.tokens for ticket in together] == alone
    other = Engine(model).run([replace(request, seed=99) for request in requests])
    assert [ticket.tokens for ticket in other] != alone


# Through a ConversationModel


def test_a_model_loaded_in_int8_replies_and_scores_but_cannot_be_saved(make_model: MakeModel, tmp_path: Path) -> None:
    whole = make_model()
    whole.save_pretrained(tmp_path / "model")
    model = ConversationModel.from_pretrained(tmp_path / "model", device="cpu", dtype="int8")
    assert is_int8(model.hf_model)
    options: dict[str, Any] = {"max_new_tokens": 8, "num_return_sequences": 2}
    outputs = model.generate_batch([["Hello"], ["Hello", "Hi"]], seeds=[1, 2], **options)
    assert outputs[1] == model.generate(["Hello", "Hi"], seed=2, **options)
    assert len(model.generate(["Hello"], num_beams=2, max_new_tokens=4).responses) == 1
    candidates = ["I am fine.", "No."]
    result, expected = model.score(["Hello"], candidates), whole.score(["Hello"], candidates)
    assert result.per_token == pytest.approx(expected.per_token, rel=0.05)
    with pytest.raises(ValueError, match='a model in int8 cannot be saved; load it with dtype="float32"'):
        model.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again").exists()
