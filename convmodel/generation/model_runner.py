"""Run a causal language model on new tokens of many sequences at once, with a KV cache and without padding."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from convmodel.generation.adapters import AdapterWeights, LayerProducts
from convmodel.generation.decoders import make_decoder
from convmodel.generation.gpt2_layers import GPT2Decoder
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.ragged_attention import RaggedAttention, SequenceChunk


class ModelRunner:
    """Runner of a model in evaluation mode on chunks of many sequences; see `make_decoder` and `LayerProducts`."""

    def __init__(
        self, model: PreTrainedModel, *, packed: bool = False, adapters: Sequence[AdapterWeights] = ()
    ) -> None:
        self._products = LayerProducts(model, packed=packed, adapters=adapters)
        self.decoder = make_decoder(model, self._products)

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
        cache.reserve(max(row.stop for row in ranges))
        attention = RaggedAttention(chunks, cache, independent=isinstance(self.decoder, GPT2Decoder))
        return self.decoder(ids, types, positions, attention, wanted=wanted)
