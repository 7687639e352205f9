"""One token of each of many rows in, logits out, in shapes that do not change: what a GPU replays as a whole.

Step by step a GPU waits for Python most of the time: a GPT-2 of 12 layers is some two hundred small kernels. Recorded
once as a CUDA graph, they are started by one call.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.model_runner import KVCache, ModelRunner, SequenceChunk

SHORTEST = 64
"""Graphs are made for attention over so many tokens, twice as many, and so on."""


class CUDAGraphRunner:
    """Reads one token for each row, for all of the first rows of the cache together.

    There is a graph for each power of two of rows and of tokens attended to, with types and without, made when it is
    first needed. Rows
    that have nothing to read read something anyway, and put it where nobody looks. On a CPU the same steps run one by
    one: that is for tests.

    Args:
        network: whose weights stay where they are.
        cache: that is read and written.
    """

    def __init__(self, network: ModelRunner, cache: KVCache) -> None:
        self._network, self._cache = network, cache
        self._made: dict[tuple[int, int, bool], tuple[Tensor, Callable[[], Tensor]]] = {}
        self._nowhere = cache.kept.shape[4] - 1

    @torch.inference_mode()
    def read(self, pieces: Sequence[SequenceChunk]) -> Tensor:
        """Reads pieces of one token, each of another row; see `ModelRunner.read`."""
        rows = _power_of_two(max(piece.row for piece in pieces) + 1, 1, self._cache.kept.shape[2])
        length = _power_of_two(max(piece.start for piece in pieces) + 1, SHORTEST, self._nowhere)
        typed = pieces[0].token_type_ids is not None
        if (rows, length, typed) not in self._made:
            self._made[rows, length, typed] = self._make(rows, length, typed)
        inputs, run = self._made[rows, length, typed]
        columns = [[0] * rows, [0] * rows, [0] * rows, [self._nowhere] * rows]
        for piece in pieces:
            kind = 0 if piece.token_type_ids is None else piece.token_type_ids[0]
            values = (piece.input_ids[0], kind, piece.start, piece.start)
            for column, value in zip(columns, values, strict=True):
                column[piece.row] = value
        inputs.copy_(torch.tensor(columns))
        wanted = [piece.row for piece in pieces if piece.wanted]
        return run()[torch.tensor(wanted, dtype=torch.long, device=inputs.device)]

    def _make(self, rows: int, length: int, typed: bool) -> tuple[Tensor, Callable[[], Tensor]]:
        """The tensor that a graph reads its ids, types, positions and places from, (4, rows), and what runs it."""
        inputs = torch.zeros(4, rows, dtype=torch.long, device=self._cache.device)
        inputs[3] = self._nowhere
        run = partial(self._run, inputs, length, typed)
        if inputs.device.type != "cuda":
            return inputs, run
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):  # libraries choose and allocate what they need before anything is recorded
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = run()
        return inputs, partial(_replay, graph, logits)

    def _run(self, inputs: Tensor, length: int, typed: bool) -> Tensor:
        ids, types, positions, places = inputs.unbind()
        seen = (torch.arange(length, device=inputs.device)[None] <= positions[:, None])[:, None, None]
        number = torch.arange(len(ids), device=inputs.device)
        attend = partial(self._attend, number, places, seen, length)
        hidden = self._network.hidden(ids, types if typed else None, positions, attend)
        return self._network.logits(hidden)

    def _attend(
        self, number: Tensor, places: Tensor, seen: Tensor, length: int, mixed: Tensor, layer: int, scale: float
    ) -> Tensor:
        kept = self._cache.kept[layer]
        _, _, heads, _, width = kept.shape
        new = mixed.view(-1, 3, heads, width)
        kept[:, number, :, places] = new[:, 1:]  # indices first: (B, 2, H, D / H)
        keys, values = kept[:, : len(number), :, :length]
        attend = functional.scaled_dot_product_attention
        return attend(new[:, 0, :, None], keys, values, attn_mask=seen, scale=scale)[:, :, 0].flatten(1)


def _replay(graph: "torch.cuda.CUDAGraph", logits: Tensor) -> Tensor:
    graph.replay()
    return logits


def _power_of_two(least: int, smallest: int, largest: int) -> int:
    """The smallest power of two from `smallest` that is no less than `least`; never more than `largest`."""
    return min(max(smallest, 1 << (least - 1).bit_length()), largest)
