"""The same request beside any others, bit for bit: replies, and the likelihood of their tokens."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from convmodel.generation.engine import Engine
from convmodel.generation.int8 import to_int8
from convmodel.generation.request import GenerationRequest, RequestState

pytestmark = [pytest.mark.machine, pytest.mark.slow]

END = 99
IDS: dict[str, Any] = {"vocab_size": END + 1, "bos_token_id": None, "eos_token_id": None}


@pytest.fixture(params=[1, 3], ids="{} threads".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def requests(positions: int, *, typed: bool) -> list[GenerationRequest]:
    """Half of them sampled; many begin alike, so that rows are gone on with and copied."""
    source = random.Random(1)
    shared = [source.randrange(END) for _ in range(positions // 2)]
    made = []
    for seed in range(24):
        length = source.randint(1, positions - 16)
        begun = shared[: source.randint(0, length)]
        ids = begun + [source.randrange(END) for _ in range(length - len(begun))]
        options: dict[str, Any] = {"do_sample": seed % 2 == 0, "temperature": 1.3, "top_k": 0, "max_new_tokens": 12}
        types = [position // 8 % 2 for position in range(len(ids))] if typed else None
        made.append(
            GenerationRequest(ids, types, GenerationConfig(eos_token_id=[END], **options), seed=seed, scored=True)
        )
    return made


def outcome(tickets: list[RequestState]) -> list[tuple[list[int], float]]:
    return [(ticket.tokens, ticket.log_likelihood) for ticket in tickets]


def make_gpt2(width: int, heads: int, positions: int) -> PreTrainedModel:
    sizes: dict[str, Any] = {"n_positions": positions, "n_layer": 2, "n_head": heads, "n_embd": width}
    return GPT2LMHeadModel(GPT2Config(**sizes, **IDS, initializer_range=0.3)).eval()


def make_llama(width: int, heads: int, positions: int) -> PreTrainedModel:
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2}
    attention: dict[str, Any] = {"num_attention_heads": heads, "num_key_value_heads": 1}
    positions_and_ids: dict[str, Any] = {"max_position_embeddings": positions, **IDS}
    return LlamaForCausalLM(LlamaConfig(**sizes, **attention, **positions_and_ids, initializer_range=0.3)).eval()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(
    ("make", "width", "heads", "positions"),
    [(make_gpt2, 8, 2, 64), (make_gpt2, 48, 3, 80), (make_gpt2, 64, 1, 600), (make_llama, 48, 3, 80)],
    ids=["gpt2", "gpt2 with rows that fill no vector", "gpt2 with many positions", "llama"],
)
def test_a_request_gives_the_same_bits_alone_and_in_any_batch(
    threads: int, make: Callable[[int, int, int], PreTrainedModel], width: int, heads: int, positions: int, dtype: str
) -> None:
    torch.manual_seed(width)
    model = make(width, heads, positions)
    if dtype == "int8":
        to_int8(model)
    batch = requests(positions, typed=make is make_gpt2)
    alone = [outcome(Engine(model, max_running=1, packed=True).run([request]))[0] for request in batch]
    assert len({tuple(tokens) for tokens, _ in alone}) > len(batch) // 2
    companies: list[dict[str, Any]] = [
        {"read_per_step": 5 if positions <= 512 else 29},  # longer ones take very many steps of five tokens
        {"max_running": 3, "max_kept": 5, "read_per_step": 17},
        {"max_running": 24},
    ]
    for company in companies:
        engine = Engine(model, packed=True, **company)
        assert outcome(engine.run(batch)) == alone
        assert outcome(engine.run(batch[::-1])) == alone[::-1]  # with what was kept of the first time
