"""Two small models in folders, conversations in a file, and what evaluating them gives."""

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import TEXTS, random_turns

OPTIONS = EvaluationOptions(decoding={"max_new_tokens": 6}, resamples=200)
"""Quick ones."""


def small_model(*, scale: float = 0.5, seed: int = 0, vocab_size: int = 320) -> ConversationModel:
    """A GPT-2 of 64 positions, whose weights are random; at a scale of 0 it finds every token equally likely."""
    torch.manual_seed(seed)
    tokenizer = ConversationTokenizer.learn(TEXTS * 3, vocab_size)
    sep = tokenizer.sep_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_layer=1,
        n_head=2,
        n_embd=16,
        initializer_range=scale,
        bos_token_id=sep,
        eos_token_id=sep,
    )
    network = GPT2LMHeadModel(config).eval()
    if not scale:
        torch.nn.init.zeros_(network.transformer.wte.weight)
    return ConversationModel(network, tokenizer)


def some_conversations(seed: int = 0, count: int = 14) -> list[Conversation]:
    """Conversations with and without persona, some of them longer than the window."""
    source = random.Random(seed)
    found = []
    for number in range(count):
        turns = [*random_turns(source, longest=3), *random_turns(source, most=4, longest=3)]
        found.append(Conversation(turns, ["I am Ann.", "I like tea."] if number % 3 == 0 else []))
    return found


def lines_of(path: Path) -> list[dict[str, object]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the models `model` and `uniform`, and `talks.jsonl`."""
    place = tmp_path_factory.mktemp("evaluation")
    small_model().save_pretrained(place / "model")
    small_model(scale=0.0).save_pretrained(place / "uniform")
    write_conversations(some_conversations(), place / "talks.jsonl")
    return place


@pytest.fixture(scope="package")
def evaluated(folder: Path) -> Evaluation:
    """Of `model`."""
    return evaluate(folder / "model", folder / "talks.jsonl", options=OPTIONS, device="cpu")


@pytest.fixture(scope="package")
def uniform(folder: Path) -> Evaluation:
    """Of `uniform`."""
    return evaluate(folder / "uniform", folder / "talks.jsonl", options=OPTIONS, device="cpu")
