"""The bi-encoder, which scores a candidate by the dot product of one context vector and one candidate vector."""

import copy
import os
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convmodel.models.selection.dual_encoder import DualEncoderSelector, EncodedContexts
from convmodel.models.selection.encoder import (
    NewEncoder,
    TokenEncoder,
    default_pooling,
    encode_in_batches,
    fit_vocabulary,
    new_encoder,
    row_layout,
    to_config,
)
from convmodel.models.selection.layout import EncoderBatch, EncoderInput
from convmodel.models.selection.pretrained import pretrained_encoder
from convmodel.models.selection.scoring import Pooling, pool
from convmodel.tokens.text_tokenizer import TextTokenizer


class DualEncoder(nn.Module):
    """The encoders of contexts and of candidates, which may be the same encoder.

    Args:
        contexts: the encoder of contexts.
        candidates: the encoder of candidates; None shares the encoder of contexts.
    """

    def __init__(self, contexts: TokenEncoder, candidates: TokenEncoder | None = None) -> None:
        super().__init__()
        self.contexts = contexts
        self.separate = candidates

    @property
    def candidates(self) -> TokenEncoder:
        """The encoder of candidates."""
        return self.contexts if self.separate is None else self.separate


class BiEncoder(DualEncoderSelector[EncoderInput, EncoderInput]):
    """A selector that compares one context vector with one candidate vector. Source: arXiv:1905.01969, section 4.2.

    Args:
        encoder: the encoder of contexts.
        tokenizer: the tokenizer of contexts and candidates.
        candidate_encoder: the encoder of candidates; None shares the encoder of contexts.
        pooling: the tokens that a text's vector comes from; by default the last one for decoders and the first one for
            encoders.
        cosine_scale: a factor of the cosine: vectors are normalized and the score is this multiple of their cosine; 20
            learns fastest from scratch. None uses the plain dot product, as in the paper.
        max_context: largest length of a context in tokens; the oldest turns are dropped, persona sentences are kept.
        max_candidate: largest length of a candidate in tokens, its separators included.

    Raises:
        ValueError: for lengths beyond the encoder's positions.

    Example:
        >>> selector = BiEncoder.from_encoder("bert-base-uncased")
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "bi-encoder"

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
    ) -> None:
        super().__init__(DualEncoder(encoder, candidate_encoder), tokenizer)
        self.pooling = default_pooling(encoder, pooling)
        if cosine_scale is not None and not cosine_scale > 0:
            raise ValueError(f"cosine_scale={cosine_scale}; it must be above 0, or None")
        self.cosine_scale = cosine_scale
        for token_encoder in filter(None, (encoder, candidate_encoder)):
            fit_vocabulary(token_encoder, tokenizer)
        self.layout = row_layout(encoder, tokenizer, max_context=max_context, max_candidate=max_candidate)

    @classmethod
    def from_encoder(cls, name_or_path: str | os.PathLike[str], *, shared: bool = True, **options: Any) -> Self:
        """Create a selector to be trained from a pretrained encoder.

        Args:
            name_or_path: Hub name or folder of BERT, DistilBERT, GPT-2, or another encoder or decoder; or the folder of
                a selector, whose context encoder is used.
            shared: whether one encoder encodes both contexts and candidates.
            options: arguments of the class.
        """
        encoder, tokenizer = pretrained_encoder(name_or_path)
        separate = None if shared else copy.deepcopy(encoder)
        return cls(encoder, tokenizer, candidate_encoder=separate, **options)

    @classmethod
    def from_scratch(
        cls,
        tokenizer: TextTokenizer,
        sizes: NewEncoder = NewEncoder(),  # noqa: B008 (only read)
        *,
        shared: bool = True,
        **options: Any,
    ) -> Self:
        """Create a selector with new weights, to be trained.

        Args:
            tokenizer: the tokenizer of contexts and candidates.
            sizes: sizes of the encoder.
            shared, options: see `from_encoder`.
        """
        return cls.build(tokenizer, {"encoder": sizes.config(tokenizer).to_dict(), "shared": shared, **options})

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """See `Selector.build`."""
        given = dict(options)
        encoder = given.pop("encoder")
        shared = given.pop("shared")
        return cls(new_encoder(encoder), tokenizer, candidate_encoder=None if shared else new_encoder(encoder), **given)

    def options(self) -> dict[str, Any]:
        """See `Selector.options`."""
        return {
            "encoder": to_config(self.encoders.contexts),
            "shared": self.encoders.separate is None,
            "pooling": self.pooling,
            "cosine_scale": self.cosine_scale,
            "max_context": self.layout.max_context,
            "max_candidate": self.layout.max_candidate,
        }

    @property
    def encoders(self) -> DualEncoder:
        """The network, with its precise type."""
        return cast(DualEncoder, self.network)

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """See `DualEncoderSelector.context_row`."""
        return self.layout.context(turns, persona)

    def candidate_row(self, ids: Sequence[int]) -> EncoderInput:
        """See `DualEncoderSelector.candidate_row`."""
        return self.layout.candidate(ids)

    def encode_context_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> EncodedContexts:
        """See `DualEncoderSelector.encode_context_rows`."""
        vectors, mask = self._encode_batches(rows, self._context_vectors, recompute=recompute)
        if self.cosine_scale is not None:
            vectors = self.cosine_scale * functional.normalize(vectors, dim=-1)
        return EncodedContexts(vectors, mask)

    def encode_candidate_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> Tensor:
        """See `DualEncoderSelector.encode_candidate_rows`."""
        [vectors] = self._encode_batches(rows, self._candidate_vectors, recompute=recompute)
        return vectors if self.cosine_scale is None else functional.normalize(vectors, dim=-1)

    def _context_vectors(self, rows: EncoderBatch) -> tuple[Tensor, Tensor]:
        """Return (B, M, D) context vectors and the (B, M) mask of valid ones."""
        vectors = pool(self.encoders.contexts(rows), rows.mask, self.pooling)[:, None]
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def _candidate_vectors(self, rows: EncoderBatch) -> tuple[Tensor]:
        return (pool(self.encoders.candidates(rows), rows.mask, self.pooling),)

    def _encode_batches(self, rows: Sequence[EncoderInput], encode: Any, *, recompute: bool) -> tuple[Tensor, ...]:
        return encode_in_batches(
            rows, encode, pad_token_id=self.tokenizer.sep_token_id, device=self.device, recompute=recompute
        )
