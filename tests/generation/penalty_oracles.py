"""Penalties computed by looking through every sequence each time, and configurations with penalties."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from convmodel.generation.penalties import (
    FREQUENCY,
    LONGEST_RUN,
    OPTIONS,
    PRESENCE,
)

END, WORDS = 7, 8


def config(**options: Any) -> GenerationConfig:
    whole = GenerationConfig(**{"do_sample": False, "max_new_tokens": 12, "eos_token_id": [END]} | options)
    for name in OPTIONS:
        setattr(whole, name, options.get(name))
    return whole


def random_ids(source: random.Random, longest: int = 12, words: int = 4) -> list[int]:
    return [source.randrange(words) for _ in range(source.randint(0, longest))]


def ngrams(size: int, ids: Sequence[int]) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}


def longest_run(said: Sequence[Sequence[int]], reply: Sequence[int], token: int) -> int:
    """The longest m for which the last m of start and reply stand before the token in a sequence with its start."""
    written = ["start", *reply]
    best = 0
    for ids in said:
        whole = ["start", *ids]
        for m in range(1, min(LONGEST_RUN, len(written)) + 1):
            ending = [*written[-m:], token]
            if any(whole[i : i + m + 1] == ending for i in range(len(whole) - m)):
                best = max(best, m)
    return best


def plainly_penalized(logits: torch.Tensor, reply: Sequence[int], frequency: float, presence: float) -> torch.Tensor:
    """OpenAI's formula, a token at a time."""
    result = logits.clone()
    for token in range(WORDS):
        count = reply.count(token)
        if token != END:
            result[token] -= presence * (count > 0) + frequency * count
    return result


PENALTIES = [(2.0, 0.0), (0.0, 2.0), (0.7, 0.4), (-0.8, 0.0), (0.0, -2.0), (1.5, -1.0), (0.0, 0.0)]


def penalized(frequency: float, presence: float, **options: Any) -> GenerationConfig:
    return config(**{FREQUENCY: frequency, PRESENCE: presence}, **options)
