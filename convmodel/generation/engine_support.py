"""Check whether the engine computes a model as transformers does: by its architecture, or by a trial if untested."""

from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from convmodel.generation.causal_lm import embedding_rows
from convmodel.generation.decoders import can_decode
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk

TESTED = frozenset(
    {
        *("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "gemma2", "gemma3_text", "phi", "phi3", "olmo"),
        *("olmo2", "gpt_neox", "granite", "smollm3", "gpt_oss", "opt", "gpt2", "cohere", "starcoder2", "glm"),
    }
)
"""Architectures for which tests compare the engine's replies with those of `generate`."""

TRIAL = 12
"""Number of tokens in the trial of a model with another architecture."""

TOLERANCE = {torch.float64: 0.01, torch.float32: 0.01}
"""Largest allowed difference of logits in a trial, as a share of their standard deviation; 0.2 in half precision."""

_tried: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def supports_engine(model: PreTrainedModel) -> bool:
    """Return whether the engine computes a model as transformers does; if not, `generate` has to be used.

    A model whose architecture is not in `TESTED` is tried once, on a few tokens.
    """
    if not can_decode(model):
        return False
    if model.config.model_type in TESTED:
        return True
    if model not in _tried:
        _tried[model] = _agrees(model)
    return _tried[model]


@torch.inference_mode()
def _agrees(model: PreTrainedModel) -> bool:
    """Return whether the engine's logits, of two sequences in two steps, match those of the model's forward pass."""
    rows = embedding_rows(model)
    ids = [(7 * n + 3) % rows for n in range(TRIAL)]
    steps = [
        [SequenceChunk(0, 0, ids[:5], None), SequenceChunk(1, 0, ids[:3], None)],
        [SequenceChunk(0, 5, ids[5:6], None), SequenceChunk(1, 3, ids[3:], None)],
    ]
    try:
        expected = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, [4, 2, 5, -1]]
        runner = ModelRunner(model)
        cache = KVCache(2, TRIAL, model.device)
        logits = torch.cat([runner.read(chunks, cache) for chunks in steps])
    except Exception:  # such as a layer that calls attention in a way that the engine does not support
        return False
    expected = expected.float()
    allowed = TOLERANCE.get(model.dtype, 0.2) * expected.std()
    return bool((logits - expected).abs().max() <= allowed)
