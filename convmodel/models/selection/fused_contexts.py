"""Encoded contexts of a fused selector: values of features, scores, and exact search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convmodel.models.selection.fusion import QUESTION_FEATURES, WORD_FEATURES, Fusion
from convmodel.models.selection.lexical import WordIndex, text_id, word_ids
from convmodel.models.selection.search.exact import TopK, score_all, search_exact
from convmodel.models.selection.search.query import Query, Term
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import EncodedContexts

SPAN = 1 << 21
"""Largest number of scores held in memory at once: contexts times candidates."""

Parts = list[dict[str, float]]
"""For each candidate, the contributions to its score by name of the feature."""


@dataclass(frozen=True, slots=True)
class ContextWords:
    """The words of a context, as ids of `word_ids`.

    Args:
        whole: ids of the distinct words in persona and context.
        last_turn: ids of the distinct words in the last turn.
        persona: for each persona sentence, ids of its distinct words.
        turns: the `text_id` of each turn.
    """

    whole: np.ndarray
    last_turn: np.ndarray
    persona: Sequence[np.ndarray]
    turns: Sequence[int]

    @classmethod
    def of(cls, context: Sequence[str], persona: Sequence[str] = ()) -> "ContextWords":
        """Return the words of a context with at least one turn."""
        sentences = [word_ids([sentence]) for sentence in persona]
        return cls(word_ids([*persona, *context]), word_ids(context[-1:]), sentences, list(map(text_id, context)))

    def value(self, feature: str, index: WordIndex) -> np.ndarray:
        """Return the (N,) values of a feature of `WORD_FEATURES` for the N candidates of an index."""
        if feature == "bm25_context":
            return index.scores(self.whole)
        if feature == "bm25_last_turn":
            return index.scores(self.last_turn)
        if feature == "log_length":
            return index.table.log_lengths
        values = np.zeros(len(index.table))
        if feature == "said_already":
            values[index.table.find(self.turns)] = 1.0
        for sentence in self.persona if feature == "bm25_persona" else ():
            np.maximum(values, index.scores(sentence), out=values)
        return values


@dataclass(frozen=True, slots=True)
class FusedContexts:
    """B contexts of a fused selector.

    Args:
        fusion: the weights.
        words: the words of each context.
        terms: by name, the features that are computed from candidates' vectors, as terms with weight 1.
        scores: (B, C) scores of an encoder that reads a context and C candidates together; None for other encoders.
    """

    fusion: Fusion
    words: Sequence[ContextWords]
    terms: Mapping[str, Term]
    scores: Tensor | None = None

    def __len__(self) -> int:
        return len(self.words)

    def cpu(self) -> "FusedContexts":
        """Return a copy of the contexts with vectors on the CPU, because the vectors of an index are on the CPU."""
        terms = {name: replace(term, contexts=term.contexts.cpu()) for name, term in self.terms.items()}
        return replace(self, terms=terms)

    def values(self, row: int, table: CandidateTable, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Return the (N,) float64 values of features, by name, for one context and N candidates.

        Args:
            row: the index of the context.
            table: the candidates.
            names: the features; by default all with nonzero weights.
        """
        wanted = names if names is not None else [n for n, of in self.fusion.features.items() if of.weight]
        index = table.word_index(self.fusion.statistics)
        values = {name: self.words[row].value(name, index) for name in wanted if name in WORD_FEATURES}
        values |= {name: self._of_questions(row, table, name) for name in wanted if name in QUESTION_FEATURES}
        for name in wanted:
            if name in values:
                continue
            if name in self.terms:
                query = Query([self.terms[name]]).select(slice(row, row + 1))
                values[name] = score_all(query, table.vectors.vectors)[0].double().cpu().numpy()
            elif self.scores is not None:
                values[name] = self.scores[row].double().numpy()
            else:  # the context has no persona
                values[name] = np.zeros(len(table))
        return values

    def _of_questions(self, row: int, table: CandidateTable, name: str) -> np.ndarray:
        """Return the (N,) values of a feature of `QUESTION_FEATURES` for one context; 0 without questions."""
        questions = table.questions
        if questions is None:
            return np.zeros(len(table))
        if name not in self.terms:
            return questions.best(self.words[row].value("bm25_last_turn", self._index(questions.table)))
        query = Query([self.terms[name]]).select(slice(row, row + 1))
        return questions.best(score_all(query, questions.table.vectors.vectors)[0].double().cpu().numpy())

    def _index(self, table: CandidateTable) -> WordIndex:
        return table.word_index(self.fusion.statistics)

    def parts(self, row: int, table: CandidateTable) -> dict[str, np.ndarray]:
        """Return each feature's (N,) contributions to the scores of N candidates for the context with index `row`."""
        return self.fusion.parts(self.values(row, table))

    def parts_of(self, row: int, table: CandidateTable) -> Parts:
        """Return the contributions of `parts` as one dictionary for each candidate."""
        parts = self.parts(row, table)
        return [{name: float(values[number]) for name, values in parts.items()} for number in range(len(table))]

    def score(self, row: int, table: CandidateTable) -> Tensor:
        """Return the (N,) float32 scores of N candidates for the context with index `row`."""
        parts = self.parts(row, table).values()
        return torch.from_numpy(sum(parts, start=np.zeros(len(table)))).float()

    def search(self, table: CandidateTable, k: int) -> TopK:
        """Return the k best candidates of each context by exact scores; see `search_exact`."""
        step = max(1, SPAN // max(len(table), 1))
        found = [
            search_exact(self._query(slice(start, start + step), table), table.vectors, k)
            for start in range(0, len(self), step)
        ]
        return TopK(torch.cat([best.ids for best in found]), torch.cat([best.scores for best in found]))

    def _query(self, part: slice, table: CandidateTable) -> Query:
        """Return the query for the fused scores of some contexts.

        Features of vectors are its terms; features of words are computed for all candidates, and are its offsets.
        """
        index = table.word_index(self.fusion.statistics)
        offsets = np.stack([self._offsets(words, index) for words in self.words[part]])
        for name in QUESTION_FEATURES if table.questions is not None else ():
            if factor := self.fusion.factor(name):
                rows = range(len(self))[part]
                offsets += factor * np.stack([self._of_questions(row, table, name) for row in rows])
        weighted = [
            replace(term, weight=self.fusion.factor(name))
            for name, term in self.terms.items()
            if self.fusion.factor(name) and name not in QUESTION_FEATURES
        ]
        return Query(Query(weighted).select(part).terms, torch.from_numpy(offsets))

    def _offsets(self, words: ContextWords, index: WordIndex) -> np.ndarray:
        """Return the (N,) part of the scores from features of words, with the part that is equal for all candidates."""
        total: np.ndarray = index.table.log_lengths * self.fusion.factor("log_length")
        total += self.fusion.offset
        if said := self.fusion.factor("said_already"):
            total[np.unique(index.table.find(words.turns))] += said
        for name in ("bm25_context", "bm25_last_turn", "bm25_persona"):
            if factor := self.fusion.factor(name):
                values = words.value(name, index)
                total += np.multiply(values, factor, out=values)
        return total


SearchContexts = EncodedContexts | FusedContexts
"""Contexts encoded by a selector's `encode_contexts`."""


def search_table(contexts: SearchContexts, table: CandidateTable, k: int) -> TopK:
    """Return the k best candidates of each context by exact scores; see `search_exact`."""
    return (
        contexts.search(table, k) if isinstance(contexts, FusedContexts) else search_exact(contexts, table.vectors, k)
    )
