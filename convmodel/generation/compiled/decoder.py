"""Decoder for GPT-2 and Llama models on a CPU, with steps that numba compiles once for this machine."""

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedModel

from convmodel.generation.compiled.step import Rows, run_step
from convmodel.generation.compiled.tiles import TileMemory
from convmodel.generation.compiled.weights import read_model
from convmodel.generation.kv_cache import KVCache


class CompiledDecoder:
    """Decoder that computes each row independently of the other rows, bit for bit.

    A step is one call of compiled code, without Python. Weights are read in the order of their addresses, so a step of
    a few rows takes little longer than reading the weights from memory. Activations are fp32; for products with int8
    weights they are rounded to integers of up to 16 bits, see `round_rows`.

    Args:
        model: a model in evaluation mode for which `weights.supports_compiled` is true, in fp32 or int8. Its weights
            are copied.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._threads = torch.get_num_threads()
        self._helpers = ThreadPoolExecutor(max(self._threads - 1, 1), "decoder")
        weakref.finalize(self, self._helpers.shutdown)
        self._memory = TileMemory()
        self._model = read_model(model, self._memory)
        self._words = cast(Any, model.get_input_embeddings()).weight.detach()
        self._positions = model.transformer.wpe.weight.detach() if isinstance(model, GPT2LMHeadModel) else None
        self._inner = _inner_size(model)
        attended = self._model.heads * self._model.width
        self._widest = max(self._words.shape[1], self._inner, attended) + 1
        self._cache: KVCache | None = None
        self._cached_positions = 0

    @torch.inference_mode()
    def read(
        self,
        ids: Tensor,
        types: Tensor | None,
        positions: Tensor,
        slots: Sequence[int],
        cache: KVCache,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Return fp32 logits, and write the keys and values of all tokens to the cache.

        Args:
            ids, types, positions: (N,) token ids, types (or None) and positions.
            slots: the slot of each token in the cache.
            cache: the cache of the sequences.
            wanted: (W,) indices of the tokens whose logits are needed.

        Returns:
            (N, V), or (W, V) with `wanted`.
        """
        self._attach(cache)
        chosen = torch.arange(len(ids)) if wanted is None else wanted
        logits = torch.empty(len(chosen), len(self._words))
        rows = self._rows(self._embed(ids, types, positions), positions, slots, chosen, logits)
        counter = np.zeros(1, np.int64)
        arguments = (self._threads, counter.ctypes.data, self._model, rows)
        helpers = [self._helpers.submit(partial(run_step, thread, *arguments)) for thread in range(1, self._threads)]
        run_step(0, *arguments)
        for helper in helpers:
            helper.result()
        return logits

    def _embed(self, ids: Tensor, types: Tensor | None, positions: Tensor) -> Tensor:
        hidden: Tensor = self._words[ids]
        if self._positions is not None:
            hidden = hidden + self._positions[positions]
        return hidden if types is None else hidden + self._words[types]

    def _rows(self, hidden: Tensor, positions: Tensor, slots: Sequence[int], wanted: Tensor, logits: Tensor) -> Rows:
        model = self._model
        count = len(hidden)
        return Rows(
            np.stack([np.array(slots, np.int64), positions.numpy()], 1),
            wanted.numpy(),
            self._cached_positions,
            hidden.numpy(),
            np.empty(hidden.shape, np.float32),
            np.empty((count, (model.heads + 2 * model.groups) * model.width), np.float32),
            np.empty((count, model.heads * model.width), np.float32),
            np.empty((count, self._inner), np.float32),
            np.empty(count * self._widest, np.int16),
            np.empty(count, np.float32),
            logits.numpy(),
        )

    def _attach(self, cache: KVCache) -> None:
        """Store the addresses of a cache's keys and values in the layers; they do not change while the cache exists."""
        if self._cache is cache:
            return
        new = torch.empty(1, self._model.groups, self._model.width)
        for index, layer in enumerate(self._model.layers):
            keys, values = cache.layer(index, new, new)
            layer["keys"] = keys.data_ptr()
            layer["values"] = values.data_ptr()
            self._cached_positions = keys.shape[2]
        self._cache = cache


def _inner_size(model: PreTrainedModel) -> int:
    """Return the width of a model's feed-forward layers."""
    config = model.config
    if isinstance(model, GPT2LMHeadModel):
        return int(config.n_inner or 4 * config.n_embd)
    return int(config.intermediate_size)
