"""Batches through transformers' GPT-2, against each row alone."""

import random
from typing import Any, cast

import pytest
import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from convmodel.generation.padded import ModelInput, generate_rows, score_rows

END = 31
POSITIONS = 48


@pytest.fixture
def network() -> GPT2LMHeadModel:
    """A GPT-2 whose states are far apart, and whose texts end now and then."""
    torch.manual_seed(3)
    sizes: dict[str, Any] = {"vocab_size": 32, "n_positions": POSITIONS, "n_layer": 2, "n_head": 2, "n_embd": 16}
    model = GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.6, bos_token_id=END, eos_token_id=END)).eval()
    with torch.no_grad():
        ending = model.transformer.wte.weight[END]
        model.transformer.ln_f.bias += 0.8 * ending / ending.norm()
    return model


def config(**options: Any) -> GenerationConfig:
    given = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": [END], "pad_token_id": END}
    return GenerationConfig(**(given | options))


def contexts(seed: int, count: int) -> list[list[int]]:
    """Ids of different lengths, some of which begin alike."""
    source = random.Random(seed)
    found: list[list[int]] = []
    for _ in range(count):
        begun = source.choice(found)[: source.randint(0, 12)] if found and source.random() < 0.5 else []
        found.append([*begun, *(source.randrange(END) for _ in range(source.randint(1, 20)))])
    return found


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"repetition_penalty": 1.3}], ids=str)
def test_rows_through_transformers_go_on_as_each_does_alone(network: GPT2LMHeadModel, options: dict[str, Any]) -> None:
    rows = [ModelInput(ids, None) for ids in contexts(2, 9)]
    found = generate_rows(network, rows, config(**options))
    for row, [reply] in zip(rows, found, strict=True):
        ids = torch.tensor([row.input_ids])
        generate = cast(Any, network).generate
        whole = generate(ids, attention_mask=torch.ones_like(ids), generation_config=config(**options))[0].tolist()
        expected = whole[len(row.input_ids) :]
        assert reply == expected[: expected.index(END) if END in expected else None]


def test_likelihoods_are_those_of_one_plain_pass(network: GPT2LMHeadModel) -> None:
    rows = [ModelInput(ids, None) for ids in contexts(4, 9) if len(ids) > 2]
    lengths = [max(1, len(row.input_ids) // 2) for row in rows]
    for row, length, found in zip(rows, lengths, score_rows(network, rows, lengths, pad_token_id=END), strict=True):
        with torch.no_grad():
            chances = network(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        places = range(len(row.input_ids) - length, len(row.input_ids))
        assert found == pytest.approx(
            sum(float(chances[place - 1, row.input_ids[place]]) for place in places), rel=1e-5
        )
