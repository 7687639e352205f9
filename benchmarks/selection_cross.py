"""Contexts with 100 candidates each in, seconds out: a GPT-2 that reads a context once, beside padded pairs."""

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.common import ROOT, Ratio, conversation_files, interleave, tell
from benchmarks.tokenization import load_tokenizer
from convmodel.data.conversation import read_conversations
from convmodel.data.selection_example import SelectionExample, read_selection_examples
from convmodel.models.devices import has_fast_bf16
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.layout import EncoderInput, pad_rows

BATCH = 32
"""Pairs that the peer reads at once."""

ROUNDS = 3
CLAIMS = {"fp32": 5.0, "int8": 10.0, "bf16": 10.0}
"""How many times as fast as the peer; of the size of the smallest published GPT-2."""

SIZES = {
    "124M": NewEncoder("gpt2", layers=12, heads=12, width=768, positions=1_024),
    "16M": NewEncoder("gpt2", layers=4, heads=4, width=256, positions=512),
}
SMOKE_SIZES = {"tiny": NewEncoder("gpt2", layers=2, heads=2, width=32, positions=512)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A context and the token ids of its candidates."""

    context: EncoderInput
    candidates: list[list[int]]


@torch.inference_mode()
def padded_pairs(selector: CrossEncoder, asked: Asked) -> Tensor:
    """(C,) scores of the peer: transformers' forward of every pair, padded to the longest of its batch.

    Padding is on the right, where no token sees it: it gets no mask, and is the quicker for that.
    """
    pairs = [selector.layout.pair(asked.context, ids) for ids in asked.candidates]
    batches = (pad_rows(pairs[first : first + BATCH], 0) for first in range(0, len(pairs), BATCH))
    return torch.cat([selector.network(batch) for batch in batches])


@torch.inference_mode()
def shared(selector: CrossEncoder, asked: Asked) -> Tensor:
    """(C,) scores of ours."""
    return selector.score_rows([asked.context], [asked.candidates])[0].float()


def data_folder() -> Path:
    """Where the real data lies, if it is there."""
    return Path(os.environ.get("CONVMODEL_DATA") or ROOT.parent / "shared" / "data")


def examples(data: Path, *, smoke: bool) -> list[SelectionExample]:
    """Real ones of ubuntu_irc; where they are not there, contexts of conversations with others' turns."""
    file = data / "ubuntu_irc" / "test.jsonl"
    if not smoke and file.is_file():
        return list(islice(read_selection_examples(file), 400))
    if not smoke:
        tell("ubuntu_irc is not there (CONVMODEL_DATA): measured on examples/data instead")
    conversations = list(read_conversations(conversation_files(data, smoke=True)["test"]))
    turns = list(dict.fromkeys(turn.strip() for conversation in conversations for turn in conversation.turns))
    pool = tuple(turns[: 10 if smoke else 100])
    return [SelectionExample(conversation.turns[:-1], pool, 0) for conversation in conversations]


def picked(given: Sequence[SelectionExample], selector: CrossEncoder, count: int) -> list[Asked]:
    """Contexts of usual lengths: from so many equal shares of them, sorted by length, the one in the middle of each."""
    encode = selector.tokenizer.encode_many
    rows = [(selector.context_row(encode(example.context)), example) for example in given]
    rows.sort(key=lambda each: len(each[0]))
    middle = [rows[(2 * number + 1) * len(rows) // (2 * count)] for number in range(count)]
    return [Asked(row, encode(example.candidates)) for row, example in middle]


def measure(*, smoke: bool, data: Path | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """Compares scores, then takes times.

    Args:
        smoke: only to see that it runs.
        data: the folder of real data; `data_folder` when left out.
        rounds: of each way.

    Returns:
        For each size of GPT-2 what `_measure_size` gives; and whether claims are made.
    """
    data = data or data_folder()
    given = examples(data, smoke=smoke)
    texts = (text for example in given for text in example.context)
    tokenizer, vocabulary = load_tokenizer(data, texts, smoke=smoke)
    sizes = SMOKE_SIZES if smoke else SIZES
    found: dict[str, Any] = {}
    for name, size in sizes.items():
        torch.manual_seed(0)
        selector = CrossEncoder.untrained(tokenizer, size, max_context=360, max_candidate=72)
        selector.network.eval()
        found[name] = _measure_size(selector, picked(given, selector, 2 if smoke else 4), 1 if smoke else rounds)
    return {"sizes": found, "vocabulary": vocabulary, "claimed": not smoke}


def _measure_size(selector: CrossEncoder, asked: Sequence[Asked], rounds: int) -> dict[str, Any]:
    """Seconds of each round for all contexts, lengths, and how far the scores of the quick forms are from fp32.

    Raises:
        ValueError: where ours in fp32 and the peer differ by more than 1e-4.
    """
    quick = {"fp32": selector, "int8": copy.deepcopy(selector)}
    quick["int8"].to_int8()
    if has_fast_bf16(torch.device("cpu")):
        quick["bf16"] = copy.deepcopy(selector)
        quick["bf16"].network.to(torch.bfloat16)
    scores = {name: torch.stack([shared(each, one) for one in asked]) for name, each in quick.items()}
    expected = torch.stack([padded_pairs(selector, one) for one in asked])
    apart = float((scores["fp32"] - expected).abs().max())
    if apart > 1e-4:
        raise ValueError(f"scores of a context read once are up to {apart:.1e} from those of padded pairs")
    tell(f"scores are equal: {expected.numel()} pairs, {apart:.1e} at most between them")
    ways: dict[str, Callable[[Asked], Tensor]] = {name: partial(shared, each) for name, each in quick.items()}
    ways["padded pairs"] = partial(padded_pairs, selector)
    runs = {name: partial(_seconds, way, asked) for name, way in ways.items()}
    return {
        "context_tokens": [len(one.context) for one in asked],
        "candidate_tokens": [sum(len(ids) + 1 for ids in one.candidates) for one in asked],
        "apart": apart,
        "quick": {name: _told(each, expected) for name, each in scores.items() if name != "fp32"},
        "seconds": interleave(runs, rounds),
    }


def _seconds(way: Callable[[Asked], Tensor], asked: Sequence[Asked]) -> float:
    begin = time.perf_counter()
    for one in asked:
        way(one)
    return time.perf_counter() - begin


def _told(found: Tensor, expected: Tensor) -> dict[str, float]:
    """How near scores are: mean error over their spread within a context, and pairs of candidates in the same order."""
    spread = (expected - expected.mean(1, keepdim=True)).square().mean().sqrt()
    order = [(each[:, :, None] - each[:, None]).sign() for each in (found, expected)]
    return {
        "error": float((found - expected).abs().mean() / spread),
        "same_order": float((order[0] == order[1]).float().mean()),
        "same_best": float((found.argmax(1) == expected.argmax(1)).float().mean()),
    }


def ratios(measured: dict[str, Any]) -> list[Ratio]:
    """By how much ours is faster than padded pairs; claimed of the size of the published GPT-2."""
    found = []
    for size, each in cast(dict[str, Any], measured["sizes"]).items():
        for name, seconds in each["seconds"].items():
            if name != "padded pairs":
                claim = CLAIMS[name] if measured["claimed"] and size == "124M" else None
                title = f"GPT-2 {size} cross-encoder, {name}, against padded pairs"
                found.append(Ratio.of(title, each["seconds"]["padded pairs"], seconds, at_least=claim))
    return found
