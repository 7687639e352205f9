"""Context and candidate together in, a score out: the cross-encoder."""

import os
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convmodel.generation.int8 import is_int8, to_int8
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
from convmodel.models.selection.inputs import Candidates, checked_pools, context_ids
from convmodel.models.selection.layout import EncoderBatch, EncoderInput
from convmodel.models.selection.prefix_sharing import can_share, shared_states
from convmodel.models.selection.pretrained import pretrained_encoder
from convmodel.models.selection.scoring import Pooling, pool
from convmodel.models.selection.selector import Selector
from convmodel.tokens.text_tokenizer import TextTokenizer

COMPARED_SCALE = 20.0
"""What a head that compares begins to multiply the cosine with."""


class CrossNetwork(nn.Module):
    """An encoder and a head of one number.

    Args:
        encoder: reads pairs.
        pooling: which tokens the head looks at.
        compare_pooled: whether it looks at the product of two vectors of length 1, the context's and the candidate's, number
            by number, in place of the pair's vector. It begins as the cosine.
    """

    def __init__(self, encoder: TokenEncoder, pooling: Pooling, *, compare_pooled: bool = False) -> None:
        super().__init__()
        self.encoder, self.pooling, self.compare_pooled = encoder, pooling, compare_pooled
        self.head = nn.Linear(encoder.width, 1)
        if compare_pooled:
            nn.init.constant_(self.head.weight, COMPARED_SCALE)
            nn.init.zeros_(self.head.bias)

    def forward(self, pairs: EncoderBatch) -> Tensor:
        """B pairs in, (B,) scores out."""
        hidden = self.encoder(pairs)
        scores: Tensor = self.head(
            self._product(hidden, pairs) if self.compare_pooled else self._pooled(hidden, pairs.mask)
        )
        return scores[:, 0]

    def _pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return pool(hidden, mask, self.pooling)

    def _product(self, hidden: Tensor, pairs: EncoderBatch) -> Tensor:
        candidates = torch.arange(hidden.shape[1], device=hidden.device) >= pairs.begins[:, None]
        of_context, of_candidate = (self._pooled(hidden, pairs.mask & part) for part in (~candidates, candidates))
        return functional.normalize(of_context, dim=-1) * functional.normalize(of_candidate, dim=-1)


class CrossEncoder(Selector):
    """Reads a candidate together with its context. Source: arXiv:1905.01969, section 4.3.

    A GPT-2 reads a context once for all its candidates; other encoders read every pair.

    Args:
        encoder: reads pairs.
        tokenizer: of all that is read.
        pooling: which tokens of a pair the head looks at; the last one for decoders and the first one for encoders,
            when left out.
        max_context: tokens of a context at most; whole turns go, oldest first. Persona sentences stay.
        max_candidate: tokens of a candidate at most, its separators included.
        compare_pooled: whether the head compares context and candidate, each as it reads beside the other, in place of
            looking at the pair as one. Where no encoder was trained on millions of pairs this learns several times
            quicker: what a bi-encoder learned is where it begins. Every pair is then read whole.

    Raises:
        ValueError: for pairs longer than the encoder reads, or a decoder that is to look at the first token, which sees
            nothing.

    Example:
        >>> selector = CrossEncoder.from_encoder("gpt2")
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "cross-encoder"

    def __init__(
        self,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        pooling: Pooling | None = None,
        max_context: int = 360,
        max_candidate: int = 72,
        compare_pooled: bool = False,
    ) -> None:
        how = default_pooling(encoder, pooling)
        if encoder.causal and how == "first":
            raise ValueError("pooling='first': a decoder's first token sees no other; allowed are last and mean")
        if max_context + max_candidate > encoder.positions:
            raise ValueError(
                f"max_context={max_context} and max_candidate={max_candidate} together; "
                f"this encoder reads {encoder.positions} tokens"
            )
        super().__init__(CrossNetwork(encoder, how, compare_pooled=compare_pooled), tokenizer)
        fit_vocabulary(encoder, tokenizer)
        self.layout = row_layout(encoder, tokenizer, max_context=max_context, max_candidate=max_candidate)

    @classmethod
    def from_encoder(cls, name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Makes one around an encoder of transformers, by Hub name or folder, to be trained.

        Args:
            name_or_path: BERT, DistilBERT, GPT-2, or another encoder or decoder; or the folder of a selector, whose
                encoder of contexts is taken.
            options: of the class.
        """
        return cls(*pretrained_encoder(name_or_path), **options)

    @classmethod
    def from_scratch(
        cls,
        tokenizer: TextTokenizer,
        sizes: NewEncoder = NewEncoder(),  # noqa: B008 (only read)
        **options: Any,
    ) -> Self:
        """Makes one with new weights, to be trained; `options` are those of the class."""
        return cls.build(tokenizer, {"encoder": sizes.config(tokenizer).to_dict(), **options})

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """See `Selector.build`."""
        given = dict(options)
        return cls(new_encoder(given.pop("encoder")), tokenizer, **given)

    def options(self) -> dict[str, Any]:
        """See `Selector.options`."""
        return {
            "encoder": to_config(self.cross.encoder),
            "pooling": self.cross.pooling,
            "max_context": self.layout.max_context,
            "max_candidate": self.layout.max_candidate,
            "compare_pooled": self.cross.compare_pooled,
        }

    @property
    def cross(self) -> CrossNetwork:
        """The network as what it is."""
        return cast(CrossNetwork, self.network)

    @property
    def shares_contexts(self) -> bool:
        """Whether a context is read once for all its candidates."""
        cross = self.cross
        return cross.pooling == "last" and not cross.compare_pooled and can_share(cross.encoder.hf_model)

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """Lays out the ids of a context's turns and persona sentences."""
        return self.layout.context(turns, persona)

    def score_rows(
        self,
        contexts: Sequence[EncoderInput],
        candidates: Sequence[Sequence[Sequence[int]]],
        *,
        recompute: bool = False,
    ) -> Tensor:
        """Scores laid-out contexts, with gradients.

        Args:
            contexts: B of them, of `context_row`.
            candidates: the token ids of C candidates for each.
            recompute: trades time for memory when gradients come back, see `encoder.encode_in_batches`.

        Returns:
            (B, C), higher is better.
        """
        if self.shares_contexts:
            nothing = EncoderInput([], [])
            distinct = {id(texts): [self.layout.pair(nothing, ids) for ids in texts] for texts in candidates}
            states = shared_states(
                cast(Any, self.cross.encoder.hf_model),
                contexts,
                [distinct[id(texts)] for texts in candidates],
                recompute=recompute,
            )
            return cast(Tensor, self.cross.head(states))[..., 0]
        pairs = [
            self.layout.pair(context, ids) for context, texts in zip(contexts, candidates, strict=True) for ids in texts
        ]
        return self.score_pairs(pairs, recompute=recompute).view(len(contexts), -1)

    def score_pairs(self, pairs: Sequence[EncoderInput], *, recompute: bool = False) -> Tensor:
        """N pairs of a `RowLayout`, each read by itself, in; (N,) scores out."""
        [scores] = encode_in_batches(
            pairs,
            lambda padded: (self.cross(padded),),
            pad_token_id=self.tokenizer.sep_token_id,
            device=self.device,
            recompute=recompute,
        )
        return scores

    @torch.inference_mode()
    def score(
        self,
        contexts: Sequence[Sequence[str]],
        candidates: Candidates,
        *,
        personas: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """See `Selector.score`."""
        self.network.eval()
        pools = checked_pools(contexts, candidates)
        rows = [self.context_row(turns, persona) for turns, persona in context_ids(self.tokenizer, contexts, personas)]
        if not rows:
            return torch.empty(0, len(pools[0]))
        texts = list(dict.fromkeys(text for pool in pools for text in pool))
        ids = dict(zip(texts, self.tokenizer.encode_many(texts), strict=True))
        found = [[ids[text] for text in pool] for pool in pools]
        return self.score_rows(rows, found if len(found) == len(rows) else found * len(rows)).float().cpu()

    # In whole numbers

    def to_int8(self) -> None:
        """See `Selector.to_int8`."""
        self._saved_fingerprint, self._int8 = self.fingerprint(), True
        to_int8(self.cross.encoder.hf_model)

    def weights(self) -> dict[str, Tensor]:
        """See `Selector.weights`.

        Raises:
            ValueError: for a model in int8, which has lost what is to be saved.
        """
        if is_int8(self.network):
            raise ValueError('a model in int8 cannot be saved; load it with dtype="float32" and save that')
        return super().weights()
