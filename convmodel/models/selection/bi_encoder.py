"""Contexts and candidates in, dot products of their vectors out: the bi-encoder, and what it shares with the poly."""

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
    """The encoder of contexts and that of candidates, which may be one.

    Args:
        contexts: reads contexts.
        candidates: reads candidates; None shares the first.
    """

    def __init__(self, contexts: TokenEncoder, candidates: TokenEncoder | None = None) -> None:
        super().__init__()
        self.contexts = contexts
        self.separate = candidates

    @property
    def candidates(self) -> TokenEncoder:
        """Reads candidates."""
        return self.contexts if self.separate is None else self.separate


class BiEncoder(DualEncoderSelector[EncoderInput, EncoderInput]):
    """Compares one vector of the context with one of the candidate. Source: arXiv:1905.01969, section 4.2.

    Args:
        encoder: reads contexts.
        tokenizer: of all that is read.
        candidate_encoder: reads candidates; None shares the first.
        pooling: which tokens a text's vector comes from; the last one for decoders and the first one for encoders, when
            left out.
        cosine_scale: makes vectors of length 1, and multiplies the context's by it, so that a score is this multiple of
            the cosine; 20 learns quickest from scratch. None leaves the plain dot product, as the paper has it.
        max_context: tokens of a context at most; whole turns go, oldest first. Persona sentences stay.
        max_candidate: tokens of a candidate at most, its separators included.

    Raises:
        ValueError: for texts longer than the encoder reads.

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
        for each in filter(None, (encoder, candidate_encoder)):
            fit_vocabulary(each, tokenizer)
        self.layout = row_layout(encoder, tokenizer, max_context=max_context, max_candidate=max_candidate)

    @classmethod
    def from_encoder(cls, name_or_path: str | os.PathLike[str], *, shared: bool = True, **options: Any) -> Self:
        """Makes one around an encoder of transformers, by Hub name or folder, to be trained.

        Args:
            name_or_path: BERT, DistilBERT, GPT-2, or another encoder or decoder; or the folder of a selector, whose
                encoder of contexts is taken.
            shared: whether one encoder reads both contexts and candidates.
            options: of the class.
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
        """Makes one with new weights, to be trained; the other arguments are those of `from_encoder`."""
        return cls.build(tokenizer, {"encoder": sizes.config(tokenizer).to_dict(), "shared": shared, **options})

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """See `Selector.build`."""
        given = dict(options)
        encoder, shared = given.pop("encoder"), given.pop("shared")
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
        """The network as what it is."""
        return cast(DualEncoder, self.network)

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """See `DualEncoderSelector.context_row`."""
        return self.layout.context(turns, persona)

    def candidate_row(self, ids: Sequence[int]) -> EncoderInput:
        """See `DualEncoderSelector.candidate_row`."""
        return self.layout.candidate(ids)

    def encode_context_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> EncodedContexts:
        """See `DualEncoderSelector.encode_context_rows`."""
        vectors, found = self._in_chunks(rows, self._context_vectors, recompute=recompute)
        if self.cosine_scale is not None:
            vectors = self.cosine_scale * functional.normalize(vectors, dim=-1)
        return EncodedContexts(vectors, found)

    def encode_candidate_rows(self, rows: Sequence[EncoderInput], *, recompute: bool = False) -> Tensor:
        """See `DualEncoderSelector.encode_candidate_rows`."""
        [vectors] = self._in_chunks(rows, self._candidate_vectors, recompute=recompute)
        return vectors if self.cosine_scale is None else functional.normalize(vectors, dim=-1)

    def _context_vectors(self, rows: EncoderBatch) -> tuple[Tensor, Tensor]:
        """(B, M, D) vectors, and the (B, M) mask of those that are there."""
        vectors = pool(self.encoders.contexts(rows), rows.mask, self.pooling)[:, None]
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def _candidate_vectors(self, rows: EncoderBatch) -> tuple[Tensor]:
        return (pool(self.encoders.candidates(rows), rows.mask, self.pooling),)

    def _in_chunks(self, rows: Sequence[EncoderInput], encode: Any, *, recompute: bool) -> tuple[Tensor, ...]:
        return encode_in_batches(
            rows, encode, pad_token_id=self.tokenizer.sep_token_id, device=self.device, recompute=recompute
        )
