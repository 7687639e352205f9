"""Properties and parts of a language model of any architecture: context window, embeddings, states and head."""

import copy
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, PretrainedConfig, PreTrainedModel

LARGEST_WINDOW = 8_192
"""Upper limit of the context window in tokens, because the engine reserves memory for a full window per slot."""


WINDOW_NAMES = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "n_positions",
)
"""Names of the configuration settings that hold the size of the context window."""


def context_window(config: PretrainedConfig) -> int:
    """Return the number of tokens that a model reads at once, input and output together; at most `LARGEST_WINDOW`.

    For an encoder-decoder it is the limit of the encoder's input and, separately, of the decoder's output.
    """
    sizes = (getattr(config, name, None) for name in WINDOW_NAMES)
    return min([LARGEST_WINDOW, *(int(size) for size in sizes if size)])


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens that a model has embeddings for."""
    return len(cast(nn.Embedding, model.get_input_embeddings()).weight)


def reads_token_types(model: PreTrainedModel) -> bool:
    """Return whether a model uses `token_type_ids`. Only GPT-2 does: it adds the token embeddings of the types."""
    return type_reads_token_types(model.config.model_type)


def type_reads_token_types(model_type: str) -> bool:
    """Return whether models of this `model_type` use `token_type_ids`; see `reads_token_types`."""
    return model_type == "gpt2"


def shallow_twin(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of a model's structure and configuration that shares its weights and innermost layers."""
    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    shared = {id(part): part for part in chain(leaves, model.parameters(), model.buffers())}
    return copy.deepcopy(model, cast(Any, shared))


def hidden_states(
    model: PreTrainedModel, input_ids: Tensor, token_type_ids: Tensor | None = None, *, cache: Cache | None = None
) -> Tensor:
    """Return the states (B, T, D) that a model's head reads.

    Args:
        input_ids: (B, T) ids, padded on the right, if at all.
        token_type_ids: (B, T) types; ignored for a model without types.
        cache: keys and values of the earlier tokens; the keys and values of `input_ids` are appended.
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
