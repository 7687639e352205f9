"""Run one token of each of many sequences in tensors of fixed shapes, so that a GPU can replay a CUDA graph.

In single steps a GPU waits for Python most of the time: a GPT-2 of 12 layers is about two hundred small kernels. Once
recorded as a CUDA graph, they are launched by one call.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from convmodel.generation.attention import AttentionLayer, attend
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk

SHORTEST = 64
"""Smallest attention length of a graph, in tokens; the other lengths are this one times a power of two."""


class CUDAGraphRunner:
    """Runner of one token for each of the first slots of the cache, in one batch.

    There is a graph for each power of two of slots and of tokens attended to, with types and without, recorded when it
    is first needed. A slot without a new token reads a dummy token, whose keys and values go to an unused position.
    On a CPU the same steps run without a graph, for tests. The model's weights must stay at the same addresses.
    """

    def __init__(self, runner: ModelRunner, cache: KVCache) -> None:
        self._runner = runner
        self._cache = cache
        self._graphs: dict[tuple[int, int, bool], tuple[Tensor, Callable[[], Tensor]]] = {}
        self._unused_position = cache.positions

    @torch.inference_mode()
    def read(self, chunks: Sequence[SequenceChunk]) -> Tensor:
        """Read chunks of one token, each of another sequence; see `ModelRunner.read`."""
        longest = max(chunk.start for chunk in chunks) + 1
        self._cache.reserve(longest)
        if self._cache.positions != self._unused_position:  # the cache is larger now, at another address
            self._graphs.clear()
            self._unused_position = self._cache.positions
        slots = _power_of_two(max(chunk.slot for chunk in chunks) + 1, 1, self._cache.slots)
        length = _power_of_two(longest, SHORTEST, self._unused_position)
        typed = chunks[0].token_type_ids is not None
        if (slots, length, typed) not in self._graphs:
            self._graphs[slots, length, typed] = self._record(slots, length, typed)
        inputs, run = self._graphs[slots, length, typed]
        columns = [[0] * slots, [0] * slots, [0] * slots, [self._unused_position] * slots]
        for chunk in chunks:
            token_type = 0 if chunk.token_type_ids is None else chunk.token_type_ids[0]
            values = (chunk.input_ids[0], token_type, chunk.start, chunk.start)
            for column, value in zip(columns, values, strict=True):
                column[chunk.slot] = value
        inputs.copy_(torch.tensor(columns))
        wanted = [chunk.slot for chunk in chunks if chunk.needs_logits]
        return run()[torch.tensor(wanted, dtype=torch.long, device=inputs.device)]

    def _record(self, slots: int, length: int, typed: bool) -> tuple[Tensor, Callable[[], Tensor]]:
        """Record a graph, and return its inputs and a function that runs it and returns logits.

        The inputs (4, slots) are ids, types, positions, and positions in the cache to write to.
        """
        inputs = torch.zeros(4, slots, dtype=torch.long, device=self._cache.device)
        inputs[3] = self._unused_position
        run = partial(self._run, inputs, length, typed)
        if inputs.device.type != "cuda":
            return inputs, run
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # warm up: libraries choose kernels and allocate before the recording
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = run()

        def replay() -> Tensor:
            graph.replay()
            return logits

        return inputs, replay

    def _run(self, inputs: Tensor, length: int, typed: bool) -> Tensor:
        ids, types, positions, targets = inputs.unbind()
        ages = positions[:, None] - torch.arange(length, device=inputs.device)[None]
        slots = torch.arange(len(ids), device=inputs.device)
        attend_all = partial(self._attend, slots, targets, ages[:, None, None])
        return self._runner.decoder(ids, types if typed else None, positions, attend_all)

    def _attend(
        self,
        slots: Tensor,
        targets: Tensor,
        ages: Tensor,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        layer: AttentionLayer,
    ) -> Tensor:
        """Compute attention; see `attention.Attend`. `ages` (B, 1, 1, L) are distances in tokens to cached keys."""
        cached = self._cache.layer(layer.index, keys, values)
        for part, new in zip(cached, (keys, values), strict=True):
            part[slots, :, targets] = new
        mask = ages >= 0 if layer.window is None else (ages >= 0) & (ages < layer.window)
        seen_keys, seen_values = (part[: len(slots), :, : ages.shape[-1]] for part in cached)
        return attend(queries[:, :, None], seen_keys, seen_values, layer, mask)[:, :, 0]


def _power_of_two(minimum: int, smallest: int, largest: int) -> int:
    """Return the smallest power of two that is at least `minimum` and `smallest`, but at most `largest`."""
    return min(max(smallest, 1 << (minimum - 1).bit_length()), largest)
