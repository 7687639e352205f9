"""Token encoders: any encoder or decoder of transformers, by Hub name, from a folder, or with new weights."""

import inspect
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from convmodel.models.folder import checked_source
from convmodel.models.loading import load_weights, read_model_config
from convmodel.models.selection.layout import EncoderBatch, EncoderInput, pad_rows
from convmodel.models.selection.scoring import Pooling
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.text_tokenizer import TextTokenizer

TOKENS_PER_CHUNK = 4_096
"""Largest size of a batch in tokens, padding included; a longer row forms a batch by itself."""

TOKENS_PER_CPU_CHUNK = 1_024
"""Largest size of a batch in tokens on a CPU.

Larger batches are not faster, need more padding, and do not fit into the caches.
"""

Architecture = Literal["bert", "distilbert", "gpt2"]
"""Architectures of an encoder with new weights."""


@dataclass
class NewEncoder:
    """The sizes of an encoder with new weights.

    Args:
        architecture: "bert" and "distilbert" attend in both directions, "gpt2" from left to right.
        vocab_size: Largest size of the vocabulary, which is learned from the training file.
        layers: Number of transformer blocks.
        heads: Number of attention heads; must divide `width`.
        width: D, the width of the hidden states.
        inner: Width of the feed-forward layers; 4 x `width` when null.
        positions: Largest number of tokens in a row.
        dropout: Dropout of hidden states. Attention weights have none, because it would cost a fifth of the speed
            on a CPU.
    """

    architecture: Architecture = "bert"
    vocab_size: int = 8_192
    layers: int = 4
    heads: int = 4
    width: int = 256
    inner: int | None = None
    positions: int = 512
    dropout: float = 0.1

    def config(self, tokenizer: TextTokenizer) -> PretrainedConfig:
        """Return the transformers configuration for a tokenizer; raise ValueError unless `heads` divides `width`."""
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} does not divide width={self.width}")
        inner = self.inner or 4 * self.width
        if self.architecture == "gpt2":
            own = {"n_inner": inner, "resid_pdrop": self.dropout, "embd_pdrop": self.dropout, "attn_pdrop": 0.0}
        elif self.architecture == "distilbert":
            own = {"hidden_dim": inner, "dropout": self.dropout, "attention_dropout": 0.0}
        else:
            own = {"intermediate_size": inner, "type_vocab_size": 2, "hidden_dropout_prob": self.dropout}
            own["attention_probs_dropout_prob"] = 0.0
        return AutoConfig.for_model(
            self.architecture,
            vocab_size=len(tokenizer),
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            hidden_size=self.width,
            max_position_embeddings=self.positions,
            **own,
            **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),  # masks alone mark padding
        )


class TokenEncoder(nn.Module):
    """Encodes rows of token ids as hidden states with a transformers model.

    Args:
        hf_model: a model without a head, either an encoder or a decoder. Its pooler is removed, because it is not used.
        described_by: the keys of the configuration that the model was created from; None for a loaded model.

    Raises:
        ValueError: for a model with an encoder and a decoder.
    """

    def __init__(self, hf_model: PreTrainedModel, *, described_by: Collection[str] | None = None) -> None:
        super().__init__()
        config = hf_model.config
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"a {config.model_type!r} has an encoder and a decoder; give an encoder or a decoder")
        if getattr(hf_model, "pooler", None) is not None:
            setattr(hf_model, "pooler", None)  # noqa: B010 (typed as a module)
        self.hf_model = hf_model
        self.described_by = described_by
        kind = config.model_type
        self.causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        types = "token_type_ids" in inspect.signature(hf_model.forward).parameters
        self._types = types and (self.causal or getattr(config, "type_vocab_size", 0) > 1)

    @property
    def width(self) -> int:
        """D, the width of the hidden states."""
        return int(self.hf_model.config.hidden_size)

    @property
    def positions(self) -> int:
        """The largest number of tokens in a row."""
        table = getattr(getattr(self.hf_model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)  # RoBERTa and its relatives number positions from padding_idx + 1
        return int(self.hf_model.config.max_position_embeddings) - (0 if padding is None else padding + 1)

    @property
    def default_pooling(self) -> Pooling:
        """The pooling "last" for decoders, whose last token attends to all others, else "first"."""
        return "last" if self.causal else "first"

    def to_config(self) -> dict[str, Any]:
        """Return the configuration from which `new_encoder` creates an encoder of the same sizes.

        The configuration of a saved model does not depend on its path or on the version of transformers. Keys that a
        later version adds are left out, so that the model's fingerprint, and the indexes built with it, stay valid.
        """
        config: dict[str, Any] = self.hf_model.config.to_dict()
        names = set(config if self.described_by is None else self.described_by)
        names -= {"_name_or_path", "transformers_version"}
        return {name: value for name, value in config.items() if name in names}

    def forward(self, rows: EncoderBatch) -> Tensor:
        """Return hidden states (B, T, D); values at padding positions are undefined."""
        inputs: dict[str, Any] = {"input_ids": rows.ids}
        if not self.causal and not rows.mask.all():  # a decoder's tokens never attend to padding on their right
            inputs["attention_mask"] = rows.mask.to(torch.long)
        if self._types:
            inputs["token_type_ids"] = rows.types
        if self.causal:
            inputs["use_cache"] = False
        return cast(Tensor, self.hf_model(**inputs).last_hidden_state)


def load_encoder(name_or_path: str | os.PathLike[str]) -> TokenEncoder:
    """Load an encoder by Hub name or folder, in float32. Only safetensors are read.

    Raises:
        FileNotFoundError, ValueError: when there is no such folder or Hub name, it has no suitable model, or the model
            is damaged; see `load_weights`.
    """
    source = checked_source(name_or_path)
    config = read_model_config(source)
    return TokenEncoder(load_weights(AutoModel, source, config, dtype=torch.float32, unused="pooler."))


def new_encoder(config: PretrainedConfig | dict[str, Any]) -> TokenEncoder:
    """Create an encoder with new weights from a configuration, or from the result of its `to_dict`."""
    names = None
    if isinstance(config, dict):
        names = frozenset(config)
        config = AutoConfig.for_model(**config)
    return TokenEncoder(cast(PreTrainedModel, AutoModel.from_config(config)), described_by=names)


def encode_in_batches(
    rows: Sequence[EncoderInput],
    encode: Callable[[EncoderBatch], tuple[Tensor, ...]],
    *,
    pad_token_id: int,
    device: torch.device,
    recompute: bool = False,
) -> tuple[Tensor, ...]:
    """Encode N rows, at least one, in batches of similar length, so that there is little padding.

    Args:
        encode: a function that maps a batch of B rows on `device` to tensors with B rows each.
        recompute: whether to keep only the results of a batch, and to recompute its activations in the backward pass.
            Gradients and dropout stay the same, and memory holds the activations of one batch at a time. Source:
            gradient caching, arXiv:2101.06983.

    Returns:
        The tensors of `encode` with N rows each, in the order of `rows`.
    """
    tokens = TOKENS_PER_CPU_CHUNK if device.type == "cpu" else TOKENS_PER_CHUNK
    results: list[tuple[Tensor, ...]] = []
    order: list[int] = []
    for indices in batches_by_length([len(row) for row in rows], max_tokens=tokens):
        padded = pad_rows([rows[index] for index in indices], pad_token_id).to(device)
        results.append(checkpoint(encode, padded, use_reentrant=False) if recompute else encode(padded))
        order += indices
    inverse = torch.tensor(order).argsort().to(device)
    return tuple(torch.cat(parts)[inverse] for parts in zip(*results, strict=True))
