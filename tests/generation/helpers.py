"""Random contexts and decoding options of a small model."""

import random
from typing import Any

from transformers import GenerationConfig

END = 31


POSITIONS = 48


def config(**options: Any) -> GenerationConfig:
    defaults = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": [END], "pad_token_id": END}
    return GenerationConfig(**(defaults | options))


def contexts(seed: int, count: int) -> list[list[int]]:
    """Ids of different lengths, some of which begin alike."""
    source = random.Random(seed)
    result: list[list[int]] = []
    for _ in range(count):
        begun = source.choice(result)[: source.randint(0, 12)] if result and source.random() < 0.5 else []
        result.append([*begun, *(source.randrange(END) for _ in range(source.randint(1, 20)))])
    return result
