"""A fake selector that reads context and candidate together."""

from typing import Any

from torch import Tensor

from convmodel.models.selection.inputs import Candidates, Contexts, Personas
from convmodel.models.selection.selector import Selector
from convmodel.tokens.text_tokenizer import TextTokenizer


class ReadsTogether(Selector):
    """Cannot encode candidates, as a cross-encoder, and scores as another selector does."""

    kind = "cross-encoder"

    def __init__(self, selector: Selector) -> None:
        super().__init__(selector.network, selector.tokenizer)
        self._selector = selector
        self.calls: list[tuple[list[str], list[str], list[str]]] = []

    def options(self) -> dict[str, Any]:
        """See `Selector.options`; there are none."""
        return {}

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> "ReadsTogether":
        """See `Selector.build`; never called."""
        raise NotImplementedError

    def score(self, contexts: Contexts, candidates: Candidates, *, personas: Personas = None) -> Tensor:
        """The scores of the other selector; the arguments are recorded."""
        self.calls.append((list(contexts[0]), [str(text) for text in candidates], list((personas or [()])[0])))
        return self._selector.score(contexts, candidates, personas=personas)
