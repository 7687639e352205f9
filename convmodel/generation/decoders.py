"""Decoders: causal language models that compute the concatenated tokens of many sequences at once."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, cast

from torch import Tensor, nn
from transformers import AttentionInterface, GPT2LMHeadModel, PretrainedConfig, PreTrainedModel

from convmodel.generation.adapters import LayerProducts
from convmodel.generation.attention import Attend, AttentionLayer
from convmodel.generation.causal_lm import shallow_twin
from convmodel.generation.gpt2_layers import GPT2Decoder
from convmodel.generation.llama_layers import LLAMA_LIKE, LlamaDecoder
from convmodel.generation.products import Product

IMPLEMENTATION = "convmodel_ragged"
"""Name of this attention in transformers' AttentionInterface. transformers makes no mask for it."""

LAYER_TYPES = {"full_attention", "sliding_attention"}
"""Kinds of layers, in transformers' `config.layer_types`, that the engine computes."""

LENGTH_DEPENDENT = {"dynamic", "longrope"}
"""Kinds of rotary positions whose frequencies depend on the longest sequence that is read at the same time."""


SEVERAL_ATTENTIONS = {"diffllama", "hrm_text"}
"""Architectures whose layers attend more than once to a token, each time with other keys and values."""


MASKED_WINDOWS = {"phimoe", "qwen2_moe"}
"""Architectures whose sliding window is in transformers' mask alone, not in the arguments of their attention."""


class Decoder(Protocol):
    """A causal language model on the concatenated tokens of many sequences; only attention separates the sequences."""

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        """Return fp32 logits.

        Args:
            ids, types, positions: (N,) token ids, types (or None) and positions.
            attend: computes the attention of a layer.
            wanted: (W,) indices of the tokens whose logits are needed.

        Returns:
            (N, V), or (W, V) with `wanted`.
        """


def make_decoder(model: PreTrainedModel, products: LayerProducts | None = None) -> Decoder:
    """Return a decoder of a model in evaluation mode, with the model's own weights.

    Args:
        products: functions that compute the layers, with adapters if any; by default without adapters.

    Raises:
        ValueError: when the engine does not support the architecture.
    """
    if isinstance(model, GPT2LMHeadModel):
        return GPT2Decoder(model, products)
    if type(model) in LLAMA_LIKE:
        return LlamaDecoder(model, products)
    if not can_decode(model):
        raise ValueError(f"{type(model).__name__} is not supported by the engine; use the model's own `generate`")
    return TransformersDecoder(model, products)


def can_decode(model: PreTrainedModel) -> bool:
    """Return whether the engine supports the attention of all layers of a model.

    State-space, linear-attention and hybrid models and encoder-decoders are not supported. Only the configuration is
    inspected; `engine_support.supports_engine` also compares logits.
    """
    config = model.config.get_text_config(decoder=True)
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and not getattr(model, "_is_stateful", False)
        and not model.config.is_encoder_decoder
        and all(vars(module).get("is_causal", True) for module in model.modules())
        and config.model_type not in SEVERAL_ATTENTIONS
        and not (config.model_type in MASKED_WINDOWS and config.sliding_window)
        and {"position_ids", "logits_to_keep"} <= _arguments(type(model).forward)
        and set(getattr(config, "layer_types", None) or ()) <= LAYER_TYPES
        and not getattr(config, "num_kv_shared_layers", 0)
        and not LENGTH_DEPENDENT & _rope_types(config)
    )


@cache
def _arguments(forward: Callable[..., object]) -> set[str]:
    """Return the names of a function's arguments."""
    return set(inspect.signature(forward).parameters)


def _rope_types(config: PretrainedConfig) -> set[str]:
    """Return the kinds of rotary positions of a model; there may be one for each kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    return {str(kind["rope_type"]) for kind in kinds if "rope_type" in kind}


class TransformersDecoder:
    """Decoder of any architecture whose attention transformers calls through its AttentionInterface.

    It runs a copy of the model's structure that shares all weights, so that the attention of the model is unchanged.
    """

    def __init__(self, model: PreTrainedModel, products: LayerProducts | None = None) -> None:
        self._twin = shallow_twin(model)
        self._twin.set_attn_implementation(IMPLEMENTATION)
        if products is not None:
            _replace_layers(self._twin, products)

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        """See `Decoder`.

        Raises:
            ValueError: for token types.
        """
        if types is not None:
            raise ValueError("this model reads no token types; allowed is None")
        logits: Tensor = self._twin(
            input_ids=ids[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=0 if wanted is None else wanted,
            ragged_attend=attend,
        ).logits
        return logits[0].float()


class _ProductLayer(nn.Module):
    """A linear layer that is computed by a function of rows (N, in); see `products.Product`."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self._product = product

    def forward(self, x: Tensor) -> Tensor:
        product = self._product(x.flatten(0, -2))
        return product.view(*x.shape[:-1], product.shape[-1])


def _replace_layers(model: nn.Module, products: LayerProducts) -> None:
    """Replace those layers of a model for which `products.replaces` is true."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if products.replaces(child):
                setattr(module, name, _ProductLayer(products.of(child)))


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    ragged_attend: Attend,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention as transformers calls it: (1, H, N, D) queries, keys and values, and (1, N, H, D) results."""
    if attention_mask is not None:
        raise ValueError(f"{type(module).__name__} attends with a mask of its own, which the engine does not compute")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = kwargs["sliding_window"] if "sliding_window" in kwargs else getattr(module, "sliding_window", None)
    layer = AttentionLayer(cast(int, module.layer_idx), scale, window, softcap, s_aux)
    queries, keys, values = (part[0].transpose(0, 1) for part in (query, key, value))
    return ragged_attend(queries, keys, values, layer)[None], None


AttentionInterface.register(IMPLEMENTATION, cast(Any, _attention))
