"""The bi-encoder, which scores a candidate by the dot product of one context vector and one candidate vector."""

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.encoder import TokenEncoder, new_encoder
from convmodel.models.selection.encoder_selector import EncoderSelector, pretrained_encoder
from convmodel.models.selection.layout import EncoderBatch, EncoderInput
from convmodel.models.selection.scoring import Pooling, pool
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.tokens.text_tokenizer import TextTokenizer


class DualEncoder(nn.Module):
    """The encoders of contexts and of candidates; if `candidates` is None, one encoder encodes both."""

    def __init__(self, contexts: TokenEncoder, candidates: TokenEncoder | None = None) -> None:
        super().__init__()
        self.contexts = contexts
        self.separate = candidates

    @property
    def candidates(self) -> TokenEncoder:
        """The encoder of candidates."""
        return self.contexts if self.separate is None else self.separate


class BiEncoder(EncoderSelector, DualEncoderSelector[EncoderInput, EncoderInput]):
    """A selector that compares one context vector with one candidate vector. Source: arXiv:1905.01969, section 4.2.

    Args:
        encoder: the encoder of contexts.
        candidate_encoder: the encoder of candidates; None shares the encoder of contexts.
        pooling: the way to compute a text's vector from the hidden states of its tokens: "first", "last", "mean" or
            "max"; by default "last" for decoders and "first" for encoders.
        cosine_scale: if given, vectors are normalized, and the score is their cosine times this factor; 20 learns
            fastest from scratch. None uses the plain dot product, as in the paper.
        max_context: largest length of a context in tokens; the oldest turns are dropped, persona sentences are kept.
        max_candidate: largest length of a candidate in tokens, its separators included.
        speaker_types: whether token types mark the speaker; otherwise all types are 0, as in encoders of single texts.
        context_prompt: text that the encoder reads before each context.
        candidate_prompt: text that the encoder reads before each candidate.

    Raises:
        ValueError: for lengths beyond the encoder's positions.

    Example:
        >>> selector = BiEncoder.from_encoder("bert-base-uncased")
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "bi-encoder"
    network: DualEncoder

    def __init__(
        self,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        candidate_encoder: TokenEncoder | None = None,
        pooling: Pooling | None = None,
        cosine_scale: float | None = None,
        max_context: int = 360,
        max_candidate: int = 72,
        speaker_types: bool = True,
        context_prompt: str = "",
        candidate_prompt: str = "",
    ) -> None:
        if cosine_scale is not None and not cosine_scale > 0:
            raise ValueError(f"cosine_scale={cosine_scale}; it must be above 0, or None")
        self.cosine_scale = cosine_scale
        network = DualEncoder(encoder, candidate_encoder)
        lengths = {"max_context": max_context, "max_candidate": max_candidate}
        super().__init__(
            encoder,
            tokenizer,
            network=network,
            pooling=pooling or encoder.default_pooling,
            speaker_types=speaker_types,
            **lengths,
        )
        self._prompts = {"context_prompt": context_prompt, "candidate_prompt": candidate_prompt}
        ids = {name: tuple(tokenizer.encode(text.rstrip())) for name, text in self._prompts.items() if text}
        self.layout = replace(self.layout, **cast(Any, ids))

    @classmethod
    def from_encoder(cls, name_or_path: str | os.PathLike[str], *, shared: bool = True, **options: Any) -> Self:
        """See `EncoderSelector.from_encoder`.

        Args:
            shared: whether one encoder encodes both contexts and candidates.
        """
        encoder, tokenizer = pretrained_encoder(name_or_path)
        known = cls._with_defaults(name_or_path, encoder, tokenizer, options)
        return cls(encoder, tokenizer, candidate_encoder=None if shared else copy.deepcopy(encoder), **known)

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        others = dict(options)
        config = others.pop("encoder")
        encoder = new_encoder(config)
        candidate_encoder = None if others.pop("shared", True) else new_encoder(config)
        return cls(encoder, tokenizer, candidate_encoder=candidate_encoder, **others)

    def options(self) -> dict[str, Any]:
        prompts = {name: prompt for name, prompt in self._prompts.items() if prompt}
        own = {"shared": self.network.separate is None, "cosine_scale": self.cosine_scale}
        return super().options() | own | prompts

    def candidate_row(self, ids: Sequence[int]) -> EncoderInput:
        return self.layout.candidate(ids)

    def encode_context_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> EncodedContexts:
        vectors, mask = self._encode_batches(rows, self._context_vectors, recompute=recompute)
        if self.cosine_scale is not None:
            vectors = self.cosine_scale * functional.normalize(vectors, dim=-1)
        return EncodedContexts(vectors, mask)

    def encode_candidate_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> Tensor:
        [vectors] = self._encode_batches(rows, self._candidate_vectors, recompute=recompute)
        return vectors if self.cosine_scale is None else functional.normalize(vectors, dim=-1)

    def _context_vectors(self, rows: EncoderBatch) -> tuple[Tensor, Tensor]:
        """Return (B, M, D) context vectors and the (B, M) mask of valid ones."""
        vectors = pool(self.network.contexts(rows), rows.mask, self.pooling)[:, None]
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def _candidate_vectors(self, rows: EncoderBatch) -> tuple[Tensor]:
        return (pool(self.network.candidates(rows), rows.mask, self.pooling),)
