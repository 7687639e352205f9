"""Selectors that need no training: one that counts words, one that finds all alike, one that is broken."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from convmodel.metrics.words import words
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.inputs import Candidates, checked_pools
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import HOMES
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer
from tests.conftest import TEXTS

BROKEN = "broken"
"""A word whose score is no number."""

HOME = {"cross-encoder": (__name__, "WordCounter")}
"""The class of saved cross-encoders while a `WordCounter` is one."""


def shared_words(context: Sequence[str], persona: Sequence[str], candidate: str) -> float:
    """Return the number of words that a candidate shares with the context; nan if it has the word `BROKEN`."""
    said = set(words(" ".join([*persona, *context])))
    return float("nan") if BROKEN in candidate else float(len(said & set(words(candidate))))


class WordCounter(Selector):
    """Scores context and candidate together, by `shared_words`; can be saved."""

    kind = "cross-encoder"

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__(nn.Linear(1, 1), tokenizer)
        self.batch_sizes: list[int] = []

    def options(self) -> dict[str, Any]:
        """Return no options."""
        return {}

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """Build a counter, which needs only a tokenizer."""
        return cls(tokenizer)

    def score(
        self,
        contexts: Sequence[Sequence[str]],
        candidates: Candidates,
        *,
        personas: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """See `Selector.score`."""
        pools = checked_pools(contexts, candidates)
        self.batch_sizes.append(len(contexts))
        rows = zip(contexts, personas or [()] * len(contexts), pools, strict=True)
        return torch.tensor([[shared_words(turns, persona, text) for text in pool] for turns, persona, pool in rows])


def small_tokenizer() -> ConversationTokenizer:
    """A byte-level BPE of a few hundred tokens."""
    return ConversationTokenizer.learn(TEXTS * 3, 320)


def small_selector(
    cls: type[BiEncoder] = BiEncoder, *, width: int = 16, seed: int = 0, constant: bool = False
) -> BiEncoder:
    """A bi- or poly-encoder with random weights; a constant one makes the same vector of every text."""
    torch.manual_seed(seed)
    sizes = NewEncoder("bert", layers=1, heads=2, width=width, positions=64)
    selector = cls.untrained(small_tokenizer(), sizes, max_context=60, max_candidate=20)
    with torch.no_grad():
        for weights in selector.network.parameters():
            weights.add_(torch.randn_like(weights) * 0.3)
        if constant:  # all tokens are the bias of the first layer norm
            for name, weights in selector.network.named_parameters():
                if "embeddings" in name and "LayerNorm" not in name:
                    weights.zero_()
    selector.network.eval()
    return selector


assert set(HOME) <= set(HOMES)
