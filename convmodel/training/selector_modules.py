"""LightningModules that train the four kinds of selectors."""

from typing import Any, ClassVar, Literal

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.convert.model import MAX_TOKENS, Convert
from convmodel.models.selection.convert.network import SCALE_BATCHES, ConvertSizes
from convmodel.models.selection.convert.tokenizer import BUCKETS, ConvertTokenizer
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.scoring import PolyType, Pooling
from convmodel.models.selection.selector import Selector
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.distillation import MarginDistillation, Teacher
from convmodel.training.mining_module import MiningModule
from convmodel.training.selection_objectives import (
    ConvertObjective,
    InBatchNegatives,
    LossOptions,
    SampledNegatives,
    SelectionObjective,
)
from convmodel.training.selector_module import SelectorModule
from convmodel.training.training_module import OptimizerName


class EncoderOptions:
    """Mixin with the options of selectors that use an encoder of transformers.

    A derived class names this mixin before `SelectorModule` in its bases.

    Args:
        new_encoder: Sizes of a new encoder, if no pretrained one is given.
        pooling: Computation of a text's vector from the states of its tokens: the "first" or "last" state, or the
            "mean" or "max" of all states. If null, the pooling of the pretrained selector or sentence-transformers
            model; for other models, "last" for decoders and "first" for encoders.
        max_context: Maximum number of tokens of a context. The oldest turns of a longer context are dropped. If null,
            the maximum of the pretrained sentence-transformers model; 360 for other models.
        max_candidate: Maximum number of tokens of a candidate. If null, the maximum of the pretrained
            sentence-transformers model; 72 for other models.
        options: See `SelectorModule`.
    """

    kind: ClassVar[type[BiEncoder | CrossEncoder]]
    loss_options: LossOptions

    def __init__(
        self,
        new_encoder: NewEncoder = NewEncoder(),  # noqa: B008 (only read; shown in the printed config)
        pooling: Pooling | None = None,
        max_context: int | None = None,
        max_candidate: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._sizes = NewEncoder(**new_encoder) if isinstance(new_encoder, dict) else new_encoder  # checkpoints: a dict
        self.max_context = max_context or 360
        given = {"pooling": pooling, "max_context": max_context, "max_candidate": max_candidate}
        self._selector_options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}

    @property
    def vocab_size(self) -> int:
        return self._sizes.vocab_size

    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        return self.kind.untrained(tokenizer, self._sizes, **self._selector_options)

    def fine_tuned_selector(self, source: str) -> Selector:
        return self.kind.from_encoder(source, **self._selector_options)


class DualEncoderOptions(EncoderOptions):
    """Mixin with the options of bi- and poly-encoders.

    Args:
        shared: Whether one encoder encodes both contexts and candidates.
        cosine_scale: Factor by which the cosine is multiplied to give the score; from scratch, 20 learns fastest. If
            null, the score is the dot product, as in the paper. "auto" uses the scale of the pretrained model: 20 for a
            sentence-transformers model with cosine scores, or the scale of the selector; for other models it has the
            effect of null.
        teacher: Folder of a trained cross-encoder, whose score differences are an additional target (margin-MSE). It
            must have the same tokenizer as the model. Source: arXiv:2010.02666.
        teacher_weight: Factor of the margin-MSE loss, which is added to the loss with in-batch negatives.
        teacher_negatives: Number of negatives of each response that the teacher scores, chosen as in the training of a
            cross-encoder.
        options: See `EncoderOptions`.
    """

    objective: SelectionObjective

    def __init__(
        self,
        shared: bool = True,
        cosine_scale: float | Literal["auto"] | None = "auto",
        teacher: str | None = None,
        teacher_weight: float = 1.0,
        teacher_negatives: int = 4,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._selector_options["shared"] = shared
        if cosine_scale != "auto":
            self._selector_options["cosine_scale"] = cosine_scale
        if teacher_weight <= 0 or teacher_negatives < 1:
            raise ValueError(
                f"model.teacher_weight={teacher_weight}, model.teacher_negatives={teacher_negatives}; "
                "allowed are above 0, and at least 1"
            )
        self.objective = InBatchNegatives(self.loss_options)
        if teacher is not None:
            self.objective = MarginDistillation(
                self.loss_options, teacher=Teacher(teacher), weight=teacher_weight, num_negatives=teacher_negatives
            )


class BiEncoderModule(DualEncoderOptions, MiningModule, SelectorModule):
    """Trains a bi-encoder with in-batch negatives. Source: arXiv:1905.01969.

    Args:
        options: See `DualEncoderOptions`.
    """

    kind = BiEncoder


class PolyEncoderModule(DualEncoderOptions, MiningModule, SelectorModule):
    """Trains a poly-encoder, whose candidates attend over several vectors of a context. Source: arXiv:1905.01969.

    Args:
        num_codes: Number of vectors of a context; m in the paper.
        codes: Source of these vectors: "learnt" codes that attend over the context's tokens, or the states of its
            "first" or "last" `num_codes` tokens.
        options: See `DualEncoderOptions`.
    """

    kind = PolyEncoder

    def __init__(self, num_codes: int = 64, codes: PolyType = "learnt", **options: Any) -> None:
        super().__init__(**options)
        self._selector_options |= {"num_codes": num_codes, "codes": codes}


class CrossEncoderModule(EncoderOptions, SelectorModule):
    """Trains a cross-encoder with a few sampled negatives. Source: arXiv:1905.01969.

    Args:
        negatives: Number of negatives of each response. They are the distractors that `data.distractors` reads from
            the file, then other responses of the batch.
        compare_pooled: Whether the score compares a pooled vector of the context with a pooled vector of the candidate,
            after both were encoded as one sequence. If false, one vector of the pair is scored, as in the paper. true
            learns several times faster from scratch. If null, true with joint layers, and false without.
        joint_layers: Number of last layers of a BERT in which candidates attend to their context, which is computed
            once for all of them; 0 reads each pair as one sequence. If null, 2 for a model of sentence-transformers or
            a selector whose vectors are compared by their cosine, unless `compare_pooled` is given; else 0.
        options: See `EncoderOptions`.
    """

    kind = CrossEncoder

    def __init__(
        self,
        negatives: int = 15,
        compare_pooled: bool | None = None,
        joint_layers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        given = {"compare_pooled": compare_pooled, "joint_layers": joint_layers}
        self._selector_options |= {name: value for name, value in given.items() if value is not None}
        if negatives < 1:
            raise ValueError(f"model.negatives={negatives}; it must be at least 1")
        if joint_layers and compare_pooled is False:
            raise ValueError(
                f"model.compare_pooled=false, model.joint_layers={joint_layers}: joint layers compare pooled vectors; "
                "leave one of the two out"
            )
        self.objective = SampledNegatives(self.loss_options, num_negatives=negatives)


class ConvertModule(SelectorModule):
    """Trains ConveRT with in-batch negatives. Source: arXiv:1911.03688.

    Args:
        pretrained_model_name_or_path: Folder of a ConveRT model to fine-tune; null trains from scratch.
        sizes: Sizes of a new network and its vocabulary; the paper's by default.
        extra_contexts: Maximum number of earlier messages in the second input; 0 disables this input.
        max_tokens: Maximum number of tokens of a message, of the earlier messages together, and of a candidate.
        scale_steps: Number of optimiser steps in which the scale of the cosine grows from 1 to the square root of the
            width of the vectors.
        label_smoothing: Share of the target distribution that is spread over all candidates.
        optimizer: "adadelta" (the paper's), "adamw" or "adamax".
        options: See `SelectorModule`.
    """

    kind = Convert
    max_context = 1 << 30  # no limit, because ConveRT cuts a long persona itself

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
        self._sizes = ConvertSizes(**sizes) if isinstance(sizes, dict) else sizes  # a dict in a checkpoint
        if self._sizes.buckets != BUCKETS or scale_steps < 1:
            raise ValueError(
                f"model.sizes.buckets={self._sizes.buckets}, model.scale_steps={scale_steps}; "
                f"the vocabulary that is learned has {BUCKETS} buckets, and at least 1 step is needed"
            )
        self._lengths = {"extra_contexts": extra_contexts, "max_tokens": max_tokens}
        self.objective = ConvertObjective(self.loss_options, scale_steps=scale_steps)

    @property
    def vocab_size(self) -> int:
        return self._sizes.vocab_size

    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        assert isinstance(tokenizer, ConvertTokenizer)
        return Convert.untrained(tokenizer, self._sizes, **self._lengths)

    def fine_tuned_selector(self, source: str) -> Selector:
        raise ValueError(f"{source}: not a ConveRT; train one from scratch, or give the folder of a ConveRT")
