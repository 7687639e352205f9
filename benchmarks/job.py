"""Sizes in, a job out: what each training contender is given, how it is timed, and what it reads."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.common import peak_memory
from convmodel.data.conversation import Conversation, read_conversations
from convmodel.models.devices import has_fast_bf16
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

BLOCK = 256
"""Tokens of a dense block, a little more than a conversation has on average."""

PLAIN_ROWS = 16
IGNORED = -100
LEARNING_RATE = 5e-4

Batch = dict[str, Tensor]
Row = tuple[list[int], list[int], list[int]]
"""Ids, types and labels of one conversation."""


@dataclass(frozen=True)
class Job:
    """What every contender is given.

    Args:
        folder: where `prepare` puts the model and the tokenizer, and where tokens are kept.
        train_file: the conversations.
        vocab_size, n_layer, n_embd, n_head, n_positions, dropout: of the GPT-2.
        tokens_per_batch: of ours, and of the blocks of the bare loop and of TRL.
        accelerator: cpu, or cuda for ours alone.
        threads: for torch.
        warm_up: steps before the clock starts.
        seconds: how long it then runs; it ends with the first step that ends later.
        seed: what the order of the conversations is drawn from.
    """

    folder: str
    train_file: str
    vocab_size: int = 8192
    n_layer: int = 6
    n_embd: int = 384
    n_head: int = 6
    n_positions: int = 1024
    dropout: float = 0.1
    tokens_per_batch: int = 2048
    accelerator: str = "cpu"
    threads: int = 2
    warm_up: int = 3
    seconds: float = 30.0
    seed: int = 1

    @property
    def model_folder(self) -> str:
        """Where the weights with which all begin and the tokenizer are."""
        return str(Path(self.folder) / "model")


@dataclass
class Meter:
    """Counts useful tokens, and time, from the end of the last warm-up step to the end of the last step.

    Args:
        warm_up: steps that are not counted.
        seconds: after which it is over.
    """

    warm_up: int
    seconds: float
    steps: int = 0
    tokens: int = 0
    begin: float = 0.0
    end: float = 0.0

    def step(self, tokens: int) -> bool:
        """Record a finished step.

        Args:
            tokens: those of its batch that are no padding.

        Returns:
            Whether to go on.
        """
        self.steps += 1
        self.end = time.perf_counter()
        if self.steps <= self.warm_up:
            self.begin = self.end
            return True
        self.tokens += tokens
        return self.end - self.begin < self.seconds

    def report(self, precision: str) -> dict[str, Any]:
        """Return the results of a run."""
        return {
            "tokens_per_second": self.tokens / (self.end - self.begin),
            "tokens": self.tokens,
            "seconds": self.end - self.begin,
            "steps": self.steps - self.warm_up,
            "precision": precision,
            "peak_memory_mib": peak_memory() >> 20,
            "peak_device_memory_mib": torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else 0,
        }


def prepare(job: Job) -> dict[str, Any]:
    """Learns the vocabulary and draws the weights with which all begin."""
    texts = (text for c in read_conversations(job.train_file) for text in (*c.persona, *c.turns))
    tokenizer = ConversationTokenizer.learn(texts, job.vocab_size)
    torch.manual_seed(0)
    sizes = {name: getattr(job, name) for name in ("n_layer", "n_embd", "n_head", "n_positions")}
    options: dict[str, Any] = sizes | dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), job.dropout)
    options |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.sep_token_id)
    config = GPT2Config(vocab_size=len(tokenizer), **options)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(job.model_folder)
    tokenizer.save_pretrained(job.model_folder)
    return {"parameters": model.num_parameters(), "bf16": has_fast_bf16(torch.device("cpu"))}


def load_model(job: Job) -> GPT2LMHeadModel:
    """Return the initial weights, ready for training."""
    return GPT2LMHeadModel.from_pretrained(job.model_folder, dtype=torch.float32).train()


def plain_row(conversation: Conversation, tokenizer: ConversationTokenizer) -> Row:
    """A conversation as one lays it out without a library, each turn encoded by itself."""
    encode = tokenizer.hf_tokenizer.encode
    sep = tokenizer.sep_token_id
    last_type = (len(conversation.turns) - 1) % 2
    ids: list[int] = []
    for sentence in conversation.persona:
        ids += [sep, *encode(sentence, add_special_tokens=False)]
    types = [last_type] * len(ids)
    labels = [IGNORED] * len(ids)
    for number, turn in enumerate(conversation.turns):
        tokens = encode(turn, add_special_tokens=False)
        ids += [sep, *tokens]
        types += [number % 2] * (len(tokens) + 1)
        labels += [sep if number else IGNORED, *tokens]
    return [*ids, sep], [*types, len(conversation.turns) % 2], [*labels, sep]


def plain_batch(rows: Sequence[Row], *, pad_token_id: int, longest: int) -> Batch:
    """Return rows padded to the longest of them and truncated to the model's window."""
    width = min(longest, max(len(ids) for ids, _, _ in rows))
    fills = {"input_ids": pad_token_id, "token_type_ids": 0, "labels": IGNORED}
    batch = {
        name: torch.tensor([(row[part] + [fill] * width)[:width] for row in rows])
        for part, (name, fill) in enumerate(fills.items())
    }
    mask = [([1] * len(ids) + [0] * width)[:width] for ids, _, _ in rows]
    return batch | {"attention_mask": torch.tensor(mask)}


def shuffled(job: Job, *, most: int | None = None) -> list[Conversation]:
    """Return the conversations of a file in the order of the job's seed, or the first of them."""
    conversations = list(read_conversations(job.train_file))
    random.Random(job.seed).shuffle(conversations)
    return conversations[:most]
