"""Small models, conversations and documents, and readers of the files of a report."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.data.document import Document, write_documents
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.reports.evaluation import EvaluationOptions
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS, random_turns
from tests.fakes import WORDS
from tests.models.documents import RUSSIAN, make

OPTIONS = EvaluationOptions(decoding={"max_new_tokens": 6}, resamples=200)
"""Quick ones."""

DOCUMENT_OPTIONS = EvaluationOptions(prompt_words=4, resamples=100, decoding={"max_new_tokens": 12})


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
    conversations = []
    for index in range(count):
        turns = [*random_turns(source, max_pieces=3), *random_turns(source, max_turns=4, max_pieces=3)]
        conversations.append(Conversation(turns, ["I am Ann.", "I like tea."] if index % 3 == 0 else []))
    return conversations


def lines_of(path: Path) -> list[dict[str, object]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def save_models(folder: Path) -> None:
    """Save the models `model` and `uniform`, and the conversations `talks.jsonl`."""
    small_model().save_pretrained(folder / "model")
    small_model(scale=0.0).save_pretrained(folder / "uniform")
    write_conversations(some_conversations(), folder / "talks.jsonl")


def document_model() -> DocumentModel:
    """A model of documents with 64 positions and a vocabulary that holds little Russian."""
    return make(DocumentTokenizer.learn(TEXTS * 3, 320), ending=0.5, max_meta_length=8)


def save_document_models(folder: Path) -> None:
    """Save the models `model` and `plain`, which has no marker file, and the file `documents.jsonl`."""
    for name in ("model", "plain"):
        document_model().save_pretrained(folder / name)
    (folder / "plain" / "document.json").unlink()
    write_documents(some_documents(), folder / "documents.jsonl")


def some_documents() -> list[Document]:
    """Short and long ones, of which some have a meta and one is no longer than a prompt."""
    metas: list[Any] = [None, "cats", {"topic": ["rain", "sea"]}, ["a", 1]]
    documents = [Document(text, metas[n % 4]) for n, text in enumerate(TEXTS + RUSSIAN)]
    documents += [Document(" ".join(TEXTS) * n + " ¿Ende?", metas[n % 4]) for n in (2, 3)]
    return [
        *documents,
        Document("Too short."),
        Document("Do you like music? Yes!"),
        Document("日本語の文はここです。", "日本"),
    ]


def some_words(source: random.Random, count: int) -> str:
    return " ".join(source.choice(WORDS) for _ in range(count))


def pool_lines(pools: Sequence[int], seed: int = 0) -> list[dict[str, object]]:
    """Examples with pools of these sizes, in threads of two, whose gold replies say some words of their contexts."""
    source = random.Random(seed)
    lines: list[dict[str, object]] = []
    context: list[str] = []
    for index, pool in enumerate(pools):
        context = [f"thread {index // 2} {some_words(source, 3)}"] if index % 2 == 0 else [*context, "and?"]
        gold = f"gold {index} {source.choice(context[0].split()[2:])} {some_words(source, 2)}"
        others = [f"other {index} {position} {some_words(source, 3)}" for position in range(pool - 1)]
        lines.append({"context": context, "response": gold, "distractors": others})
    return lines


def write_lines(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
