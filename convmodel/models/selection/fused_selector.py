"""Fused selector, which adds up the score of a selector, BM25 and other features with learned weights."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from convmodel.models.card import ModelCard
from convmodel.models.folder import weights_digest
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.fused_contexts import ContextWords, FusedContexts, Parts
from convmodel.models.selection.fusion import (
    ENCODER_FEATURES,
    LEARN_AGAIN,
    QUESTION_FEATURES,
    VECTOR_FEATURES,
    WORD_FEATURES,
    Fusion,
)
from convmodel.models.selection.inputs import Candidates, Contexts, Personas, checked_contexts, checked_pools
from convmodel.models.selection.lexical import WordStatistics, WordTable
from convmodel.models.selection.search.query import Term
from convmodel.models.selection.search.table import CandidateTable, QuestionTable
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import FUSION, LEXICAL, write_config
from convmodel.tokens.text_tokenizer import TextTokenizer


class FusedSelector(Selector):
    """A selector whose score is a sum of features with learned weights; see `Fusion`.

    Args:
        encoder: the selector whose scores are features; None if all features are computed from words.
        fusion: the weights, and the statistics of words.

    Raises:
        ValueError: for weights that were learned with another selector.
    """

    def __init__(self, encoder: Selector | None, fusion: Fusion) -> None:
        if encoder is not None:
            super().__init__(encoder.network, encoder.tokenizer)
        else:
            self.network = nn.Module()
        self.encoder = encoder
        self.fusion = fusion
        self.kind = LEXICAL if encoder is None else f"fused {encoder.kind}"
        fingerprint = None if encoder is None else encoder.fingerprint()
        if fingerprint != fusion.encoder:
            raise ValueError(
                f"{FUSION} was learned with another selector (fingerprint {fusion.encoder}) than this one "
                f"({fingerprint}); {LEARN_AGAIN}"
            )

    @classmethod
    def read(cls, encoder: Selector | None, folder: Path, *, learned: bool = True) -> Self:
        """Read the fusion in a selector's folder, and return the fused selector.

        Args:
            encoder: the selector of the folder; None for a lexical selector.
            learned: whether to use the saved weights; False gives a lexical selector its default weights.

        Raises:
            FileNotFoundError, ValueError: for a missing or damaged `fusion.json`, or weights that were learned with
                another selector.
        """
        fusion = Fusion.read(folder)
        try:
            return cls(encoder, fusion if learned else Fusion.lexical(fusion.statistics))
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None

    @property
    def searches(self) -> bool:
        return self.encoder is None or self.encoder.searches

    @property
    def indexer(self) -> Selector:
        """See `Selector.indexer`. It is the same for all lexical selectors: an index of words needs no weights."""
        return FusedSelector(None, Fusion({}, WordStatistics.of([]))) if self.encoder is None else self.encoder

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.encoder is None else self.encoder.device

    @property
    def dtype(self) -> str:
        return "float32" if self.encoder is None else self.encoder.dtype

    @property
    def vocab_size(self) -> int:
        return len(self.fusion.statistics.frequencies) if self.encoder is None else self.encoder.vocab_size

    def fingerprint(self) -> str:
        """See `Selector.fingerprint`. The digest covers the weights of the features and the statistics of words."""
        features = sorted((name, astuple(feature)) for name, feature in self.fusion.features.items())
        parts = (self.fusion.encoder, features, self.fusion.statistics)
        return weights_digest((*parts, True) if self.fusion.last_turn_only else parts, {})

    def options(self) -> dict[str, Any]:
        return {} if self.encoder is None else self.encoder.options()

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        raise TypeError("a fused selector is read from its folder; use Selector.from_pretrained")

    def write_files(self, folder: Path, card: ModelCard) -> None:
        if self.encoder is None:
            write_config(folder, self.kind, {})
        else:
            self.encoder.write_files(folder, card)
        self.fusion.write(folder)

    def parameters(self) -> int:
        """See `Selector.parameters`. The weights of the features are counted too."""
        return len(self.fusion.features) + (0 if self.encoder is None else self.encoder.parameters())

    # Scores

    def encode_candidates(self, candidates: Sequence[str]) -> Tensor:
        """See `Selector.encode_candidates`. Without an encoder, the vectors have the shape (C, 0)."""
        return torch.empty(len(candidates), 0) if self.encoder is None else self.encoder.encode_candidates(candidates)

    def encode_contexts(self, contexts: Contexts, *, personas: Personas = None) -> FusedContexts:
        """Encode B contexts, at least one, for a search; see `score` for the arguments.

        Raises:
            TypeError: for a selector that cannot search.
            ValueError: for no contexts; see also `score`.
        """
        if not self.searches:
            raise TypeError(f"a {self.kind} reads context and candidate together and cannot search")
        if not len(contexts):
            raise ValueError("there are no contexts; give at least one")
        return fused_contexts(self.encoder, self.fusion, contexts, personas)

    @torch.inference_mode()
    def score(self, contexts: Contexts, candidates: Candidates, *, personas: Personas = None) -> Tensor:
        """See `Selector.score`. Every text is encoded once, even if several pools contain it."""
        pools = checked_pools(contexts, candidates)
        if not len(contexts):
            return torch.empty(0, len(pools[0]))
        texts = list(dict.fromkeys(text for pool in pools for text in pool))
        indices = {text: index for index, text in enumerate(texts)}
        table = candidate_table(self, texts)
        tables = [table.take([indices[text] for text in pool]) for pool in pools]
        encoded = fused_contexts(self.encoder, self.fusion, contexts, personas, candidates=candidates)
        return torch.stack([encoded.score(row, tables[row % len(tables)]) for row in range(len(encoded))])

    def explain(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> Parts:
        """Return each feature's contribution to the score of each candidate for one context."""
        encoded = fused_contexts(self.encoder, self.fusion, [context], [persona], candidates=candidates)
        return encoded.parts_of(0, candidate_table(self, candidates))


SearchingSelector = DualEncoderSelector[Any, Any] | FusedSelector
"""A selector that can search: it has a method `encode_contexts`."""


def require_searching(selector: Selector, *, remedy: str) -> SearchingSelector:
    """Return a selector if it can search; otherwise raise a ValueError whose message ends with `remedy`."""
    if not selector.searches:
        raise ValueError(f"a {selector.kind} reads context and candidate together and cannot search; {remedy}")
    assert isinstance(selector, DualEncoderSelector | FusedSelector)
    return selector


def candidate_table(
    selector: Selector, texts: Sequence[str], questions: Sequence[Sequence[str]] = ()
) -> CandidateTable:
    """Return a table of candidates with their words and, if the selector can search, with their vectors.

    Args:
        questions: the questions that each candidate answers; empty if no candidate has questions.
    """
    vectors = selector.encode_candidates(texts) if selector.searches else torch.empty(len(texts), 0)
    asked = question_table(selector, questions)
    return CandidateTable(CandidateMatrix(vectors, quantise=False), lambda: WordTable.of(texts), asked)


def question_table(selector: Selector, questions: Sequence[Sequence[str]]) -> QuestionTable | None:
    """Return the table of the questions that each of N candidates answers; None if there are no questions."""
    texts = [text for of_candidate in questions for text in of_candidate]
    if not texts:
        return None
    owners = np.repeat(np.arange(len(questions)), [len(of_candidate) for of_candidate in questions])
    return QuestionTable(candidate_table(selector, texts), owners, len(questions))


def feature_names(encoder: Selector | None, *, questions: bool = False) -> list[str]:
    """Return the names of all features that are available with an encoder, or without one.

    Args:
        questions: whether there are candidates with questions that they answer.
    """
    searches = encoder is not None and encoder.searches
    asked = [name for name in QUESTION_FEATURES if questions and (searches or not name.startswith("encoder"))]
    names = [] if encoder is None else [*ENCODER_FEATURES]
    return [*names, *(VECTOR_FEATURES if searches else ()), *asked, *WORD_FEATURES]


def fused_contexts(
    encoder: Selector | None,
    fusion: Fusion,
    contexts: Contexts,
    personas: Personas,
    *,
    candidates: Candidates | None = None,
    names: Sequence[str] | None = None,
) -> FusedContexts:
    """Encode contexts for a fusion.

    Args:
        candidates: the candidates, as for `score`; needed for a selector that reads context and candidate together.
        names: the features to compute, by default all with nonzero weights.
    """
    wanted = names if names is not None else [name for name, feature in fusion.features.items() if feature.weight]
    checked = checked_contexts(contexts, personas)
    if fusion.last_turn_only:
        checked = [(turns[-1:], persona) for turns, persona in checked]
    words = [ContextWords.of(turns, persona) for turns, persona in checked]
    if isinstance(encoder, DualEncoderSelector):
        terms = _terms(encoder, [turns for turns, _ in checked], [persona for _, persona in checked], wanted)
        return FusedContexts(fusion, words, terms)
    scores = None
    if encoder is not None and candidates is not None and not {*wanted}.isdisjoint(ENCODER_FEATURES):
        scores = encoder.score([turns for turns, _ in checked], candidates, personas=personas)
    return FusedContexts(fusion, words, {}, scores)


def _terms(
    encoder: DualEncoderSelector[Any, Any],
    contexts: Sequence[Sequence[str]],
    personas: Sequence[Sequence[str]],
    names: Sequence[str],
) -> dict[str, Term]:
    """Return the terms, with weight 1, of those features in `names` that are computed from vectors."""
    terms: dict[str, Term] = {}
    if "encoder_context" in names:
        terms["encoder_context"] = Term(encoder.encode_contexts(contexts, personas=personas))
    of_last_turn = [name for name in ("encoder_last_turn", "encoder_question") if name in names]
    if of_last_turn:
        terms |= dict.fromkeys(of_last_turn, Term(_as_candidates(encoder, [[turns[-1]] for turns in contexts])))
    if "encoder_persona" in names and any(personas):
        terms["encoder_persona"] = Term(_as_candidates(encoder, personas), attends=False)
    return terms


def _as_candidates(encoder: DualEncoderSelector[Any, Any], texts: Sequence[Sequence[str]]) -> EncodedContexts:
    """Encode each context's texts as candidates, and return their vectors as those of the context.

    A context without texts gets a zero vector.
    """
    distinct = list(dict.fromkeys(text for of_context in texts for text in of_context))
    rows = {text: row for row, text in enumerate(distinct)}
    vectors = torch.cat([encoded := encoder.encode_candidates(distinct), torch.zeros_like(encoded[:1])])
    size = max(1, *map(len, texts))
    indices = [[rows[text] for text in of_context] or [len(distinct)] for of_context in texts]
    mask = torch.tensor([[n < len(row) for n in range(size)] for row in indices], device=vectors.device)
    padded = torch.tensor([row + [len(distinct)] * (size - len(row)) for row in indices], device=vectors.device)
    return EncodedContexts(vectors[padded], mask)
