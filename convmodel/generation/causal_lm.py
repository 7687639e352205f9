"""The parts of a language model of any architecture: its window, its embeddings, its states and its head."""

import copy
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, PretrainedConfig, PreTrainedModel

LARGEST_WINDOW = 8_192
"""Upper limit of the window of models that can read more, because the engine reserves memory for whole windows."""


WINDOW_NAMES = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "n_positions",
)
"""Settings of architectures that hold the size of a window."""


def context_window(config: PretrainedConfig) -> int:
    """Return the number of tokens that a model reads at once, input and output together; at most `LARGEST_WINDOW`.

    An encoder-decoder reads as many by its encoder and writes as many by its decoder.
    """
    sizes = (getattr(config, name, None) for name in WINDOW_NAMES)
    return min([LARGEST_WINDOW, *(int(size) for size in sizes if size)])


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens that a model has embeddings for."""
    return len(cast(nn.Embedding, model.get_input_embeddings()).weight)


def reads_token_types(model: PreTrainedModel) -> bool:
    """Return whether a model reads token types, which only GPT-2 looks up among its token embeddings."""
    return type_reads_token_types(model.config.model_type)


def type_reads_token_types(model_type: str) -> bool:
    """Return whether models of an architecture read token types; see `reads_token_types`."""
    return model_type == "gpt2"


def shallow_twin(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with the same weights and innermost layers, but with its own structure and configuration."""
    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    shared = {id(part): part for part in chain(leaves, model.parameters(), model.buffers())}
    return copy.deepcopy(model, cast(Any, shared))


def hidden_states(
    model: PreTrainedModel, input_ids: Tensor, token_type_ids: Tensor | None = None, *, cache: Cache | None = None
) -> Tensor:
    """Return the states (B, T, D) that a model's head reads.

    Args:
        input_ids: (B, T) ids, padded on the right, if at all.
        token_type_ids: (B, T) types, which are left out for a model that reads none.
        cache: keys and values of the tokens before these; those of these are appended.
    """
    types = {"token_type_ids": token_type_ids} if reads_token_types(model) else {}
    states: Tensor = cast(Any, model.base_model)(
        input_ids=input_ids, past_key_values=cache, use_cache=cache is not None, **types
    ).last_hidden_state
    return states


def compute_logits(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Return the logits (..., V) of states (..., D) in fp32 or fp64, with the architecture's scaling and soft cap."""
    head = cast(nn.Module, model.get_output_embeddings())
    logits: Tensor = head(states)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scale = _logit_scale(model.config)
    logits = logits if scale == 1 else logits * scale
    cap = _soft_cap(model.config)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def linear_head(model: PreTrainedModel, states: Tensor) -> tuple[Tensor, Tensor]:
    """Return states (N, D') and weights (V, D') whose product `states @ weights.T` is the logits of states (N, D).

    Raises:
        ValueError: when the head is more than a linear layer and a factor.
    """
    config = model.config
    if _soft_cap(config) is not None:
        raise ValueError(
            f"a {config.model_type} model with final_logit_softcapping={_soft_cap(config)} can write, but neither be "
            "trained nor measured; take a model without (gemma3 instead of gemma2)"
        )
    head = cast(nn.Linear, model.get_output_embeddings())
    scale = _logit_scale(config)
    scaled = states if scale == 1 else states * scale
    if head.bias is None:
        return scaled, head.weight
    return torch.cat([scaled, scaled.new_full((len(scaled), 1), scale)], 1), torch.cat(
        [head.weight, head.bias[:, None]], 1
    )


def _logit_scale(config: PretrainedConfig) -> float:
    """Return the factor of the logits: Granite divides by `logits_scaling`, Cohere multiplies by `logit_scale`."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)


def _soft_cap(config: PretrainedConfig) -> float | None:
    return getattr(config, "final_logit_softcapping", None)
