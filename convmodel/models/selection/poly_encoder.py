"""The poly-encoder: each candidate attends over several vectors of a context."""

from typing import Any

from torch import Tensor

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.encoder import TokenEncoder
from convmodel.models.selection.layout import EncoderBatch
from convmodel.models.selection.scoring import PolyContext, PolyType, poly_scores
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.tokens.text_tokenizer import TextTokenizer


class PolyEncoder(BiEncoder):
    """A selector whose candidates attend over M vectors of the context. Source: arXiv:1905.01969, section 4.4.

    Args:
        num_codes: M, the number of context vectors.
        codes: "learnt" for M learnt codes that attend over the context's tokens; "first" or "last" for the hidden
            states of the context's first or last M tokens.
        options: other arguments of `BiEncoder`; `pooling` applies to candidates only.
    """

    kind = "poly-encoder"

    def __init__(
        self,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        num_codes: int = 64,
        codes: PolyType = "learnt",
        **options: Any,
    ) -> None:
        super().__init__(encoder, tokenizer, **options)
        self.codes = PolyContext(encoder.width, num_codes, codes)
        self.network.add_module("codes", self.codes)

    def options(self) -> dict[str, Any]:
        return super().options() | {"num_codes": self.codes.num_codes, "codes": self.codes.kind}

    def score_encoded(self, contexts: EncodedContexts, candidates: Tensor) -> Tensor:
        """See `DualEncoderSelector.score_encoded`; candidates attend over the context's vectors."""
        return poly_scores(contexts.vectors, contexts.mask, candidates)

    def _context_vectors(self, rows: EncoderBatch) -> tuple[Tensor, Tensor]:
        vectors, mask = self.codes(self.network.contexts(rows), rows.mask)
        return vectors, mask
