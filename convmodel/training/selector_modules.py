"""Options in, LightningModules out that train the four kinds of selectors."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.convert.model import MAX_TOKENS, Convert
from convmodel.models.selection.convert.network import SCALE_BATCHES, ConvertSizes
from convmodel.models.selection.convert.tokenizer import BUCKETS, ConvertTokenizer
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.losses import in_batch_loss, pool_losses
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.scoring import PolyType, Pooling
from convmodel.models.selection.selector import Selector
from convmodel.tokens.selection_dataset import Ids, TokenisedChoice
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.optimization import OptimizerName
from convmodel.training.selector_module import SelectorModule, pad_pools


class DualEncoderModule(SelectorModule):
    """Trains what encodes contexts and candidates apart: each response against the others of its batch."""

    @property
    def _encoding(self) -> DualEncoderSelector[Any, Any]:
        return cast("DualEncoderSelector[Any, Any]", self.selector)

    def batch_loss(self, examples: Sequence[TokenisedChoice]) -> Tensor:
        """Each response against all candidates of the batch; equal texts are encoded once, and never negatives."""
        selector = self._encoding
        texts, numbers = _distinct([one.response for one in examples])
        given, _ = _distinct([ids for one in examples for ids in one.distractors])
        responses = set(map(tuple, texts))
        extra = [ids for ids in given if tuple(ids) not in responses]
        order = torch.tensor([*numbers, *range(len(texts), len(texts) + len(extra))], device=selector.device)
        rows = [selector.context_row(one.turns, one.persona) for one in examples]
        candidate_rows = [selector.candidate_row(ids) for ids in (*texts, *extra)]
        return self.rows_loss(rows, candidate_rows, order)

    def rows_loss(self, contexts: Sequence[Any], candidates: Sequence[Any], order: Tensor) -> Tensor:
        """The loss of laid-out rows.

        Args:
            contexts: B rows.
            candidates: rows of distinct texts.
            order: (C,) which of them the C candidates of the batch are; the first B are the contexts' responses.
        """
        selector = self._encoding
        encoded = selector.encode_context_rows(contexts, recompute=self._recompute)
        vectors = selector.encode_candidate_rows(candidates, recompute=self._recompute)[order]
        return in_batch_loss(selector.score_encoded(encoded, vectors), order, label_smoothing=self._smoothing)

    def pool_scores(self, examples: Sequence[TokenisedChoice], pools: Sequence[Sequence[Ids]]) -> Tensor:
        """See `SelectorModule.pool_scores`; equal texts are encoded once."""
        selector = self._encoding
        texts, numbers = _distinct([ids for pool in pools for ids in pool])
        encoded = selector.encode_context_rows([selector.context_row(one.turns, one.persona) for one in examples])
        vectors = selector.encode_candidate_rows([selector.candidate_row(ids) for ids in texts])
        order = torch.tensor(numbers, device=selector.device).view(len(pools), -1)
        return selector.score_encoded(encoded, vectors[order])


class EncoderModule(SelectorModule):
    """What is trained around an encoder of transformers.

    Args:
        pretrained_model_name_or_path: What is fine-tuned: an encoder or decoder by Hub name or folder (BERT,
            DistilBERT, GPT-2), or a selector's folder; of one of another kind the encoder is taken.
        new_encoder: The sizes of an encoder from scratch, used when nothing pretrained is named.
        pooling: Which tokens a vector comes from: "first", "mean" or "last". When null, the last one for decoders and
            the first one for encoders.
        max_context: Tokens of a context at most; whole turns go, oldest first.
        max_candidate: Tokens of a candidate at most.
        options: See `SelectorModule`.
    """

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        new_encoder: NewEncoder = NewEncoder(),  # noqa: B008 (only read; shown in the printed config)
        pooling: Pooling | None = None,
        max_context: int = 360,
        max_candidate: int = 72,
        **options: Any,
    ) -> None:
        super().__init__(pretrained_model_name_or_path, **options)
        # A dict where a checkpoint gives it.
        self._sizes = NewEncoder(**new_encoder) if isinstance(new_encoder, dict) else new_encoder
        self.max_context = max_context
        self._given: dict[str, Any] = {
            "pooling": pooling,
            "max_context": max_context,
            "max_candidate": max_candidate,
        }

    @property
    def vocab_size(self) -> int:
        """See `SelectorModule.vocab_size`."""
        return self._sizes.vocab_size

    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        """See `SelectorModule.new_selector`."""
        return self._kind.from_scratch(tokenizer, self._sizes, **self._given)

    def fine_tuned_selector(self, source: str) -> Selector:
        """See `SelectorModule.fine_tuned_selector`."""
        return self._kind.from_encoder(source, **self._given)

    @property
    def _kind(self) -> type[BiEncoder | CrossEncoder]:
        return cast("type[BiEncoder | CrossEncoder]", self.kind)


class BiEncoderModule(EncoderModule, DualEncoderModule):
    """Trains a bi-encoder: each response against the other responses of its batch. Source: arXiv:1905.01969.

    Args:
        shared: Whether one encoder reads both contexts and candidates.
        cosine_scale: Scores are this multiple of the cosine; 20 learns quickest from scratch. When null they are plain
            dot products, as in the paper.
        options: See `EncoderModule`.
    """

    kind: ClassVar[type[Selector]] = BiEncoder

    def __init__(self, shared: bool = True, cosine_scale: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given |= {"shared": shared, "cosine_scale": cosine_scale}


class PolyEncoderModule(BiEncoderModule):
    """Trains a poly-encoder: candidates attend over several vectors of a context. Source: arXiv:1905.01969.

    Args:
        num_codes: M, how many vectors a context has.
        codes: "learnt" codes attend over the context's tokens; "first" and "last" take its first or last M tokens.
        options: See `BiEncoderModule`.
    """

    kind: ClassVar[type[Selector]] = PolyEncoder

    def __init__(self, num_codes: int = 64, codes: PolyType = "learnt", **options: Any) -> None:
        super().__init__(**options)
        self._given |= {"num_codes": num_codes, "codes": codes}


class CrossEncoderModule(EncoderModule):
    """Trains a cross-encoder: each response among a few other candidates. Source: arXiv:1905.01969.

    Args:
        negatives: How many other candidates a response is found among: first those that `data.distractors` reads from
            the file, then other responses of the batch.
        compare_pooled: Whether the score comes from comparing context and candidate, each as it reads beside the other, in
            place of the pair's one vector as in the paper: learns several times quicker from scratch.
        options: See `EncoderModule`.
    """

    kind: ClassVar[type[Selector]] = CrossEncoder

    def __init__(self, negatives: int = 15, compare_pooled: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._given |= {"compare_pooled": compare_pooled}
        if negatives < 1:
            raise ValueError(f"model.negatives={negatives}; it must be at least 1")
        self._negatives = negatives

    @property
    def _cross(self) -> CrossEncoder:
        return cast(CrossEncoder, self.selector)

    def batch_loss(self, examples: Sequence[TokenisedChoice]) -> Tensor:
        """Each response among its own candidates, drawn anew for every step."""
        pools, there = pad_pools([[one.response, *self._drawn(one, examples)] for one in examples])
        scores = self._scores(examples, pools, recompute=self._recompute)
        own = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return pool_losses(scores, there.to(scores.device), own, label_smoothing=self._smoothing).mean()

    def _drawn(self, one: TokenisedChoice, examples: Sequence[TokenisedChoice]) -> list[Ids]:
        order = torch.randperm(len(examples)).tolist()
        others = [*one.distractors, *(examples[number].response for number in order)]
        distinct = {tuple(ids): ids for ids in others if ids != one.response}
        return list(distinct.values())[: self._negatives]

    def pool_scores(self, examples: Sequence[TokenisedChoice], pools: Sequence[Sequence[Ids]]) -> Tensor:
        """See `SelectorModule.pool_scores`."""
        return self._scores(examples, pools)

    def _scores(
        self, examples: Sequence[TokenisedChoice], pools: Sequence[Sequence[Ids]], *, recompute: bool = False
    ) -> Tensor:
        rows = [self._cross.context_row(one.turns, one.persona) for one in examples]
        return self._cross.score_rows(rows, pools, recompute=recompute)


class ConvertModule(DualEncoderModule):
    """Trains ConveRT: each response against the other responses of its batch. Source: arXiv:1911.03688.

    Args:
        pretrained_model_name_or_path: The folder of a ConveRT that is trained further.
        sizes: Of a network from scratch, and of its vocabulary; the paper's.
        extra_contexts: How many earlier messages are a second input; 0 leaves it out.
        max_tokens: Tokens of a message, of the earlier ones together, and of a candidate at most.
        scale_steps: Optimiser steps over which the factor of the cosine grows from 1 to the root of its width.
        label_smoothing: The share of the target that is spread over all candidates.
        optimizer: "adadelta" (the paper's), "adamw" or "adamax".
        options: See `SelectorModule`.
    """

    kind: ClassVar[type[Selector]] = Convert
    max_context = 1 << 30  # a long persona is cut

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        sizes: ConvertSizes = ConvertSizes(),  # noqa: B008 (only read; shown in the printed config)
        extra_contexts: int = 10,
        max_tokens: int = MAX_TOKENS,
        scale_steps: int = SCALE_BATCHES,
        label_smoothing: float = 0.2,
        optimizer: OptimizerName = "adadelta",
        **options: Any,
    ) -> None:
        super().__init__(pretrained_model_name_or_path, label_smoothing=label_smoothing, optimizer=optimizer, **options)
        self._sizes = ConvertSizes(**sizes) if isinstance(sizes, dict) else sizes  # a dict where a checkpoint gives it
        if self._sizes.buckets != BUCKETS or scale_steps < 1:
            raise ValueError(
                f"model.sizes.buckets={self._sizes.buckets}, model.scale_steps={scale_steps}; "
                f"the vocabulary that is learned has {BUCKETS} buckets, and at least 1 step is needed"
            )
        self._extra_contexts, self._max_tokens, self._scale_steps = extra_contexts, max_tokens, scale_steps

    @property
    def vocab_size(self) -> int:
        """See `SelectorModule.vocab_size`."""
        return self._sizes.vocab_size

    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        """See `SelectorModule.new_selector`."""
        assert isinstance(tokenizer, ConvertTokenizer)
        lengths = {"extra_contexts": self._extra_contexts, "max_tokens": self._max_tokens}
        return Convert.from_scratch(tokenizer, self._sizes, **lengths)

    def fine_tuned_selector(self, source: str) -> Selector:
        """See `SelectorModule.fine_tuned_selector`."""
        raise ValueError(f"{source}: is no ConveRT, which is learned from scratch or goes on from one of its own kind")

    def rows_loss(self, contexts: Sequence[Any], candidates: Sequence[Any], order: Tensor) -> Tensor:
        """See `DualEncoderModule.rows_loss`."""
        return cast(Convert, self.selector).training_loss(
            contexts,
            [candidates[number] for number in order.tolist()],
            order,
            batch=self.global_step * SCALE_BATCHES // self._scale_steps,
            label_smoothing=self._smoothing,
            recompute=self._recompute,
        )


def _distinct(texts: Sequence[Ids]) -> tuple[list[Ids], list[int]]:
    """The distinct ones, and for each text which of them it is."""
    seen: dict[tuple[int, ...], int] = {}
    numbers = [seen.setdefault(tuple(ids), len(seen)) for ids in texts]
    return [list(ids) for ids in seen], numbers
