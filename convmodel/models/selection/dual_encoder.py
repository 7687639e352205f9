"""Base class of selectors that encode contexts and candidates separately, so that candidates can be cached."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from convmodel.models.selection.inputs import (
    Candidates,
    Contexts,
    Personas,
    checked_candidates,
    checked_pools,
    context_ids,
)
from convmodel.models.selection.scoring import bi_scores
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.models.selection.selector import Selector

ContextRow = TypeVar("ContextRow")
CandidateRow = TypeVar("CandidateRow")


class DualEncoderSelector(Selector, Generic[ContextRow, CandidateRow]):
    """A selector that encodes contexts and candidates separately, so that candidates can be cached and searched.

    Training works on rows, which are laid-out token ids: `context_row` and `candidate_row` create a row,
    `encode_context_rows` and `encode_candidate_rows` encode rows with gradients.
    """

    @property
    def searches(self) -> bool:
        return True

    @abstractmethod
    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> ContextRow:
        """Return the row of a context from the token ids of its turns and persona sentences."""

    @abstractmethod
    def candidate_row(self, ids: Sequence[int]) -> CandidateRow:
        """Return the row of a candidate from its token ids."""

    @abstractmethod
    def encode_context_rows(self, rows: Sequence[ContextRow], *, recompute: bool = False) -> EncodedContexts:
        """Encode the rows of B contexts.

        `recompute` saves memory in the backward pass at the cost of time; see `encoder.encode_in_batches`.
        """

    @abstractmethod
    def encode_candidate_rows(self, rows: Sequence[CandidateRow], *, recompute: bool = False) -> Tensor:
        """Encode the rows of C candidates as (C, D) vectors; see `encode_context_rows`."""

    @torch.inference_mode()
    def encode_contexts(self, contexts: Contexts, *, personas: Personas = None) -> EncodedContexts:
        """Encode B contexts, at least one; see `Selector.score` for the arguments and errors."""
        if not len(contexts):
            raise ValueError("there are no contexts; give at least one")
        self.network.eval()
        rows = [self.context_row(turns, persona) for turns, persona in context_ids(self.tokenizer, contexts, personas)]
        return self.encode_context_rows(rows)

    @torch.inference_mode()
    def encode_candidates(self, candidates: Sequence[str]) -> Tensor:
        """Encode C candidates, at least one, as (C, D) vectors on the model's device, which serve for all contexts."""
        self.network.eval()
        texts = checked_candidates(candidates)
        return self.encode_candidate_rows([self.candidate_row(ids) for ids in self.tokenizer.encode_many(texts)])

    def score_encoded(self, contexts: EncodedContexts, candidates: Tensor) -> Tensor:
        """Return (B, C) scores of B contexts and C candidates: here the dot products of their vectors.

        Args:
            contexts: the encoded contexts.
            candidates: (C, D) vectors of candidates for all contexts, or (B, C, D) vectors for each context.
        """
        return bi_scores(contexts.vectors[:, 0], candidates)

    @torch.inference_mode()
    def score(self, contexts: Contexts, candidates: Candidates, *, personas: Personas = None) -> Tensor:
        """See `Selector.score`. Every text is encoded once, even if several pools contain it."""
        pools = checked_pools(contexts, candidates)
        if not len(contexts):
            return torch.empty(0, len(pools[0]))
        texts = list(dict.fromkeys(text for pool in pools for text in pool))
        indices = {text: index for index, text in enumerate(texts)}
        vectors = self.encode_candidates(texts)
        positions = torch.tensor([[indices[text] for text in pool] for pool in pools], device=vectors.device)
        pool_vectors = vectors[positions] if len(pools) == len(contexts) else vectors[positions[0]]
        scores = self.score_encoded(self.encode_contexts(contexts, personas=personas), pool_vectors)
        return scores.float().cpu()
