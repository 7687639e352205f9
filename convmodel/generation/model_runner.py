"""Run a causal language model on new tokens of many sequences at once, with a KV cache and without padding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from convmodel.generation.adapters import AdapterWeights, LayerProducts
from convmodel.generation.chunk_groups import read_in_groups
from convmodel.generation.decoders import Decoder, make_decoder
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.ragged_attention import RaggedAttention, SequenceChunk


class ModelRunner:
    """Runner of a model in evaluation mode on chunks of many sequences.

    Args:
        model: a model for which `engine_support.supports_engine` is true.
        packed: see `products.make_product`. On a CPU, the chunks of a GPT-2 or a Llama without an adapter then run in a
            `CompiledDecoder`; chunks with an adapter do not.
        adapters: see `LayerProducts`.
    """

    def __init__(
        self, model: PreTrainedModel, *, packed: bool = False, adapters: Sequence[AdapterWeights] = ()
    ) -> None:
        self._model = model
        self._products = LayerProducts(model, packed=packed, adapters=adapters)
        self._threads = torch.get_num_threads()
        self._compiled = None
        if packed and model.device.type == "cpu":
            from convmodel.generation.compiled.decoder import CompiledDecoder  # numba takes half a second to import
            from convmodel.generation.compiled.weights import supports_compiled

            self._compiled = CompiledDecoder(model) if supports_compiled(model) else None

    @contextmanager
    def limited_threads(self) -> Iterator[None]:
        """Limit torch to one thread inside the block if steps are compiled.

        Compiled steps have threads of their own. OpenMP's workers spin for about a millisecond after each operation of
        torch, and would compete with them.
        """
        with nullcontext() if self._compiled is None else _torch_threads(1):
            yield

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder of steps that are not compiled; see `decoders.make_decoder`."""
        return make_decoder(self._model, self._products)

    @torch.inference_mode()
    def read(self, chunks: Sequence[SequenceChunk], cache: KVCache) -> Tensor:
        """Read chunks, each of another sequence, and write their keys and values into the cache.

        The chunks all have types, or all have none.

        Returns:
            (W, V) fp32 logits after the last token of each of the W chunks with `needs_logits`.
        """
        compiled = self._compiled
        if compiled is None:
            return self._read_in_torch(chunks, cache)

        def read_group(group: Sequence[SequenceChunk]) -> Tensor:
            if group[0].adapter is None:
                slots = [chunk.slot for chunk in group for _ in chunk.input_ids]
                return compiled.read(*_token_inputs(group, cache.device), slots, cache, _wanted(group, cache.device))
            with _torch_threads(self._threads):
                return self._read_in_torch(group, cache)

        return read_in_groups(chunks, lambda chunk: chunk.adapter is None, read_group)

    def _read_in_torch(self, chunks: Sequence[SequenceChunk], cache: KVCache) -> Tensor:
        """Read chunks in one call of `decoder`; see `read`."""
        self._products.place_rows(
            [(chunk.adapter, len(chunk.input_ids)) for chunk in chunks],
            [(chunk.adapter, 1) for chunk in chunks if chunk.needs_logits],
        )
        cache.reserve(max(chunk.start + len(chunk.input_ids) for chunk in chunks))
        attention = RaggedAttention(chunks, cache)
        wanted = _wanted(chunks, cache.device)
        return self.decoder(*_token_inputs(chunks, cache.device), attention, wanted=wanted)


def _token_inputs(chunks: Sequence[SequenceChunk], device: torch.device) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return (N,) ids, types (or None) and positions of the concatenated tokens of chunks."""
    ids = torch.tensor([i for chunk in chunks for i in chunk.input_ids], device=device)
    types = None
    if any(chunk.token_type_ids is not None for chunk in chunks):
        types = torch.tensor([t for chunk in chunks for t in chunk.token_type_ids or ()], device=device)
    ranges = [range(chunk.start, chunk.start + len(chunk.input_ids)) for chunk in chunks]
    return ids, types, torch.tensor([position for row in ranges for position in row], device=device)


def _wanted(chunks: Sequence[SequenceChunk], device: torch.device) -> Tensor | None:
    """Return the indices (W,) of the tokens whose logits are needed, or None for all tokens."""
    ends = accumulate(len(chunk.input_ids) for chunk in chunks)
    last = [end - 1 for end, chunk in zip(ends, chunks, strict=True) if chunk.needs_logits]
    if len(last) == sum(len(chunk.input_ids) for chunk in chunks):
        return None
    return torch.tensor(last, dtype=torch.long, device=device)


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
