"""Run a causal language model on new tokens of many sequences at once, with a KV cache and without padding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from convmodel.generation.adapters import AdapterWeights, LayerProducts
from convmodel.generation.decoders import Decoder, make_decoder
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.ragged_attention import RaggedAttention, SequenceChunk


class ModelRunner:
    """Runner of a model in evaluation mode on chunks of many sequences.

    Args:
        model: a model for which `engine_support.supports_engine` is true.
        packed: see `products.make_product`. A GPT-2 or a Llama on a CPU then runs in a `CompiledDecoder`, if there are
            no adapters.
        adapters: see `LayerProducts`.
    """

    def __init__(
        self, model: PreTrainedModel, *, packed: bool = False, adapters: Sequence[AdapterWeights] = ()
    ) -> None:
        self._model = model
        self._products = LayerProducts(model, packed=packed, adapters=adapters)
        self._compiled = None
        if packed and model.device.type == "cpu" and not adapters:
            from convmodel.generation.compiled.decoder import CompiledDecoder  # numba takes half a second to import
            from convmodel.generation.compiled.weights import supports_compiled

            self._compiled = CompiledDecoder(model) if supports_compiled(model) else None

    @contextmanager
    def limited_threads(self) -> Iterator[None]:
        """Limit torch to one thread inside the block if steps are compiled.

        Compiled steps have threads of their own. OpenMP's workers spin for about a millisecond after each operation of
        torch, and would compete with them.
        """
        if self._compiled is None:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

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
        device = cache.device
        ids = torch.tensor([i for chunk in chunks for i in chunk.input_ids], device=device)
        types = None
        if any(chunk.token_type_ids is not None for chunk in chunks):
            types = torch.tensor([t for chunk in chunks for t in chunk.token_type_ids or ()], device=device)
        sizes = [len(chunk.input_ids) for chunk in chunks]
        ranges = [range(chunk.start, chunk.start + size) for chunk, size in zip(chunks, sizes, strict=True)]
        positions = torch.tensor([position for row in ranges for position in row], device=device)
        last = [end - 1 for end, chunk in zip(accumulate(sizes), chunks, strict=True) if chunk.needs_logits]
        wanted = None if len(last) == len(ids) else torch.tensor(last, dtype=torch.long, device=device)
        self._products.place_rows(
            [(chunk.adapter, size) for chunk, size in zip(chunks, sizes, strict=True)],
            [(chunk.adapter, 1) for chunk in chunks if chunk.needs_logits],
        )
        if self._compiled is not None:
            slots = [chunk.slot for chunk, size in zip(chunks, sizes, strict=True) for _ in range(size)]
            return self._compiled.read(ids, types, positions, slots, cache, wanted)
        cache.reserve(max(row.stop for row in ranges))
        attention = RaggedAttention(chunks, cache)
        return self.decoder(ids, types, positions, attention, wanted=wanted)
