"""Turns in, seconds until ConveRT has encoded them out: ours without padding, beside the same network padded."""

import copy
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.common import ROOT, Ratio, conversation_files, interleave, tell
from convmodel.data.conversation import read_conversations
from convmodel.models.devices import has_fast_bf16
from convmodel.models.selection.convert.model import Convert
from convmodel.models.selection.convert.network import ConvertSizes
from convmodel.models.selection.convert.tokenizer import ConvertTokenizer
from convmodel.models.selection.layout import EncoderInput, pad_rows

BATCH = 64
"""Turns that the peer reads at once."""

TURNS = 20_000
ROUNDS = 2
SMALL = ConvertSizes(500, 20, width=32, projection=8, windows=(3, 48), inner=64, encoding=32)

PEER = f"padded, batches of {BATCH}, fp32"


@torch.inference_mode()
def padded(selector: Convert, texts: Sequence[str]) -> Tensor:
    """(N, D) vectors of the peer: the network as it is trained, on batches in the order in which they come."""
    rows = [
        EncoderInput(ids, [0] * len(ids)) for ids in map(selector.candidate_row, selector.tokenizer.encode_many(texts))
    ]
    batches = (pad_rows(rows[first : first + BATCH], 0) for first in range(0, len(rows), BATCH))
    network = selector.network
    return torch.cat([network.sides["response"](network.reduced(batch.ids, batch.mask)) for batch in batches])


def measure(*, smoke: bool, data: Path | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """Compares vectors, then takes times from texts to vectors.

    Args:
        smoke: only to see that it runs.
        data: the folder of real data; `$CONVMODEL_DATA` or `../shared/data` when left out.
        rounds: of each way.

    Returns:
        Seconds of each contender and round, how far the vectors are apart, and how much padding the peer reads.

    Raises:
        ValueError: where ours in fp32 and the peer differ by more than 1e-5.
    """
    data = data or Path(os.environ.get("CONVMODEL_DATA") or ROOT.parent / "shared" / "data")
    file = conversation_files(data, smoke=smoke)["train"]
    turns = [turn for c in islice(read_conversations(file), 3_000) for turn in c.turns]
    tokenizer = ConvertTokenizer.learn(turns, 500 if smoke else 31_476)
    turns = turns[: 50 if smoke else TURNS]
    torch.manual_seed(0)
    selector = Convert.untrained(tokenizer, SMALL if smoke else None)
    selector.network.eval()
    ways: dict[str, Callable[[Sequence[str]], Tensor]] = {PEER: partial(padded, selector)}
    ways |= {name: each.encode_candidates for name, each in _ours(selector).items()}
    vectors = {name: way(turns[:1_000]).float() for name, way in ways.items()}
    apart = float((vectors["fp32"] - vectors[PEER]).abs().max())
    if apart > 1e-5:
        raise ValueError(f"vectors without padding are up to {apart:.1e} from those of padded batches")
    tell(f"vectors are equal: {len(vectors['fp32'])} turns, {apart:.1e} at most between them")
    runs = {name: partial(_seconds, way, turns) for name, way in ways.items()}
    return {
        "parameters": selector.parameters(),
        "turns": len(turns),
        "tokens": _tokens(selector, turns),
        "apart": apart,
        "quick": {name: _told(each, vectors[PEER]) for name, each in vectors.items() if name not in (PEER, "fp32")},
        "seconds": interleave(runs, 1 if smoke else rounds),
        "claimed": not smoke,
    }


def _ours(selector: Convert) -> dict[str, Convert]:
    """The same model in each form that this machine is quick at."""
    found = {"fp32": selector, "int8": copy.deepcopy(selector)}
    found["int8"].to_int8()
    if has_fast_bf16(torch.device("cpu")):
        found["bf16"] = copy.deepcopy(selector)
        found["bf16"].place(selector.device, torch.bfloat16)
    return found


def _seconds(encode: Callable[[Sequence[str]], Tensor], turns: Sequence[str]) -> float:
    begin = time.perf_counter()
    encode(turns)
    return time.perf_counter() - begin


def _tokens(selector: Convert, turns: Sequence[str]) -> dict[str, int]:
    """How many tokens the turns have, and how many the peer reads with its padding."""
    lengths = [len(selector.candidate_row(ids)) for ids in selector.tokenizer.encode_many(turns)]
    batches = (lengths[first : first + BATCH] for first in range(0, len(lengths), BATCH))
    return {"turns": sum(lengths), "padded": sum(len(batch) * max(batch) for batch in batches)}


def _told(found: Tensor, expected: Tensor) -> dict[str, float]:
    """How near vectors are: the largest error of a cosine of two of them, and how often the nearest one is the same."""
    found = torch.nn.functional.normalize(found, dim=1)
    cosines = [each @ each.T for each in (found, expected)]
    nearest = [each.fill_diagonal_(-1).argmax(1) for each in cosines]
    return {
        "largest_error": float((cosines[0] - cosines[1]).abs().max()),
        "same_nearest": float((nearest[0] == nearest[1]).float().mean()),
    }


def ratios(measured: dict[str, Any]) -> list[Ratio]:
    """By how much ours is faster than the padded network; of the quick forms more is claimed where there is bf16."""
    seconds = cast(dict[str, list[float]], measured["seconds"])
    claims = {"fp32": 2.5, "int8": 2.5, "bf16": 6.0} if measured["claimed"] else {}
    return [
        Ratio.of(f"ConveRT, {name}, against {PEER}", seconds[PEER], each, at_least=claims.get(name))
        for name, each in seconds.items()
        if name != PEER
    ]
