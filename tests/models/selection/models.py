"""A selector that reads context and candidate together, without being one."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from convmodel.models.selection.inputs import Candidates
from convmodel.models.selection.selector import Selector
from convmodel.tokens.text_tokenizer import TextTokenizer


class ReadsTogether(Selector):
    """Encodes nothing, as a cross-encoder, and scores as another selector does."""

    kind = "cross-encoder"

    def __init__(self, selector: Selector) -> None:
        super().__init__(selector.network, selector.tokenizer)
        self._selector = selector
        self.asked: list[tuple[list[str], list[str], list[str]]] = []

    def options(self) -> dict[str, Any]:
        """None."""
        return {}

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> "ReadsTogether":
        """Is never asked for."""
        raise NotImplementedError

    def score(
        self,
        contexts: Sequence[Sequence[str]],
        candidates: Candidates,
        *,
        personas: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """What the other one says; remembers what it was asked."""
        self.asked.append((list(contexts[0]), [str(text) for text in candidates], list((personas or [()])[0])))
        return self._selector.score(contexts, candidates, personas=personas)
