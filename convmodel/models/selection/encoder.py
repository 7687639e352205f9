"""Rows of token ids in, hidden states out: any transformers encoder or decoder, by name, folder or from scratch."""

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

from convmodel.models.folder import checked_source, quiet_progress
from convmodel.models.selection.layout import EncoderBatch, EncoderInput, RowLayout, pad_rows
from convmodel.models.selection.scoring import Pooling
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.text_tokenizer import TextTokenizer

TOKENS_PER_CHUNK = 4_096
"""Tokens that an encoder reads at once, padding included; longer rows are read alone."""

TOKENS_PER_CPU_CHUNK = 1_024
"""The same on a CPU: more at once multiplies no quicker there, needs more padding, and does not stay in its caches."""

Architecture = Literal["bert", "distilbert", "gpt2"]
"""What an encoder from scratch can be."""


@dataclass
class NewEncoder:
    """The sizes of an encoder from scratch.

    Args:
        architecture: "bert" and "distilbert" read in both directions, "gpt2" from left to right.
        vocab_size: Tokens of the vocabulary at most; it is learned from the training file.
        layers: Blocks.
        heads: Attention heads; they divide `width`.
        width: D, of the hidden states.
        inner: Width of the feed-forward layers; 4 x `width` when null.
        positions: Tokens that it can read at once.
        dropout: Of hidden states. Attention weights are not dropped: on a CPU that costs a fifth of the speed.
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
        """As transformers has it, for a tokenizer.

        Raises:
            ValueError: when the heads do not divide the width.
        """
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} does not divide width={self.width}")
        inner, rows = self.inner or 4 * self.width, len(tokenizer)
        no_ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))  # padding is told by masks alone
        if self.architecture == "gpt2":
            sizes: dict[str, Any] = {
                **{"n_layer": self.layers, "n_head": self.heads, "n_embd": self.width, "n_inner": inner},
                **{"n_positions": self.positions, "resid_pdrop": self.dropout, "embd_pdrop": self.dropout},
                "attn_pdrop": 0.0,
            }
        elif self.architecture == "distilbert":
            sizes = {
                **{"n_layers": self.layers, "n_heads": self.heads, "dim": self.width, "hidden_dim": inner},
                **{"max_position_embeddings": self.positions, "dropout": self.dropout, "attention_dropout": 0.0},
            }
        else:
            sizes = {
                **{"num_hidden_layers": self.layers, "num_attention_heads": self.heads, "hidden_size": self.width},
                **{"intermediate_size": inner, "max_position_embeddings": self.positions, "type_vocab_size": 2},
                **{"hidden_dropout_prob": self.dropout, "attention_probs_dropout_prob": 0.0},
            }
        return AutoConfig.for_model(self.architecture, vocab_size=rows, **sizes, **no_ids)


class TokenEncoder(nn.Module):
    """Reads rows with a transformers model.

    Args:
        hf_model: without a head. What it has of a pooler is taken off: nothing here reads it.
        described_by: the names in the description that it was made from; None where there was none.

    Raises:
        ValueError: for a model that has an encoder and a decoder.
    """

    def __init__(self, hf_model: PreTrainedModel, *, described_by: Collection[str] | None = None) -> None:
        super().__init__()
        config = hf_model.config
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"a {config.model_type!r} has an encoder and a decoder; give one that has either")
        if getattr(hf_model, "pooler", None) is not None:
            setattr(hf_model, "pooler", None)  # noqa: B010 (typed as a module)
        self.hf_model, self.described_by = hf_model, described_by
        kind = config.model_type
        self.causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        types = "token_type_ids" in inspect.signature(hf_model.forward).parameters
        self._types = types and (self.causal or getattr(config, "type_vocab_size", 0) > 1)

    @property
    def width(self) -> int:
        """D, of the hidden states."""
        return int(self.hf_model.config.hidden_size)

    @property
    def positions(self) -> int:
        """Tokens that it can read at once."""
        table = getattr(getattr(self.hf_model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)  # RoBERTa and its like count from behind it
        return int(self.hf_model.config.max_position_embeddings) - (0 if padding is None else padding + 1)

    def forward(self, rows: EncoderBatch) -> Tensor:
        """B rows in, (B, T, D) out. What is said of padding means nothing."""
        inputs: dict[str, Any] = {"input_ids": rows.ids}
        if not self.causal and not rows.mask.all():  # no token sees what stands to its right: padding is there
            inputs["attention_mask"] = rows.mask.to(torch.long)
        if self._types:
            inputs["token_type_ids"] = rows.types
        if self.causal:
            inputs["use_cache"] = False
        return cast(Tensor, self.hf_model(**inputs).last_hidden_state)


def load_encoder(name_or_path: str | os.PathLike[str]) -> TokenEncoder:
    """Loads an encoder by Hub name or folder, in float32. Only safetensors are read.

    Raises:
        FileNotFoundError, ValueError: when there is none, or it is none.
    """
    source = checked_source(name_or_path)
    try:
        with quiet_progress():
            model = AutoModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    except OSError as error:
        raise FileNotFoundError(f"{source}: {str(error).splitlines()[0]}") from error
    return TokenEncoder(cast(PreTrainedModel, model))


def new_encoder(config: PretrainedConfig | dict[str, Any]) -> TokenEncoder:
    """Makes an encoder with new weights from its configuration, or from `to_dict` of one."""
    names = None
    if isinstance(config, dict):
        names, config = frozenset(config), AutoConfig.for_model(**config)
    return TokenEncoder(cast(PreTrainedModel, AutoModel.from_config(config)), described_by=names)


def to_config(encoder: TokenEncoder) -> dict[str, Any]:
    """What `new_encoder` makes one of the same sizes of; the same wherever it came from, in every transformers.

    What a later transformers adds to its configurations is left out of the description of an older model: an index
    that was made with it stays its own.
    """
    found: dict[str, Any] = encoder.hf_model.config.to_dict()
    names = set(found if encoder.described_by is None else encoder.described_by)
    names -= {"_name_or_path", "transformers_version"}
    return {name: value for name, value in found.items() if name in names}


def fit_vocabulary(encoder: TokenEncoder, tokenizer: TextTokenizer) -> None:
    """Gives the encoder a row for every token, where the tokenizer added a separator."""
    if len(tokenizer) > cast(nn.Embedding, encoder.hf_model.get_input_embeddings()).num_embeddings:
        encoder.hf_model.resize_token_embeddings(len(tokenizer))


def default_pooling(encoder: TokenEncoder, pooling: Pooling | None) -> Pooling:
    """What was asked for; else the last token of decoders, which saw all others, and the first one of encoders."""
    return pooling or ("last" if encoder.causal else "first")


def row_layout(encoder: TokenEncoder, tokenizer: TextTokenizer, *, max_context: int, max_candidate: int) -> RowLayout:
    """The layout of an encoder's rows, with the tokens that its tokenizer has.

    Raises:
        ValueError: for rows longer than it reads.
    """
    for name, given in (("max_context", max_context), ("max_candidate", max_candidate)):
        if not 3 <= given <= encoder.positions:
            raise ValueError(f"{name}={given}; this encoder reads 3 to {encoder.positions} tokens")
    first = tokenizer.hf_tokenizer.cls_token_id
    return RowLayout(tokenizer.sep_token_id, first, max_context=max_context, max_candidate=max_candidate)


def encode_in_batches(
    rows: Sequence[EncoderInput],
    encode: Callable[[EncoderBatch], tuple[Tensor, ...]],
    *,
    pad_token_id: int,
    device: torch.device,
    tokens: int | None = None,
    recompute: bool = False,
) -> tuple[Tensor, ...]:
    """Encodes rows of like length together, so that little padding is read.

    Args:
        rows: at least one.
        encode: a chunk of B rows in, tensors of B rows each out.
        pad_token_id: what rows are filled up with.
        device: where `encode` reads.
        tokens: of a chunk, padding included; what `device` is quick at, when left out.
        recompute: keeps nothing of a chunk but its result, and runs it again when gradients come back: gradients and
            dropout are the same, and memory is that of one chunk. Source: gradient caching, arXiv:2101.06983.

    Returns:
        The tensors of all rows, in the order of `rows`.
    """
    if tokens is None:
        tokens = TOKENS_PER_CPU_CHUNK if device.type == "cpu" else TOKENS_PER_CHUNK
    found: list[tuple[Tensor, ...]] = []
    order: list[int] = []
    for numbers in batches_by_length([len(row) for row in rows], max_tokens=tokens):
        padded = pad_rows([rows[number] for number in numbers], pad_token_id).to(device)
        found.append(checkpoint(encode, padded, use_reentrant=False) if recompute else encode(padded))
        order += numbers
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    back = back.to(device)
    return tuple(torch.cat(parts)[back] for parts in zip(*found, strict=True))
