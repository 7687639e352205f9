"""Distillation of a cross-encoder into a bi- or poly-encoder by the margins of its scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR, read_config
from convmodel.tokens.store import store_key
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.selection_objectives import (
    DualEncoder,
    Examples,
    InBatchNegatives,
    Pools,
    draw_pools,
    pad_pools,
)
from convmodel.training.shared_batches import mean_counts


class Teacher:
    """A trained cross-encoder that scores pairs for a student. It is loaded when scores are first needed.

    Its weights are never changed, and checkpoints do not contain them.

    Args:
        folder: folder of a cross-encoder with the tokenizer of the student.

    Raises:
        FileNotFoundError, ValueError: when the folder holds no cross-encoder.
    """

    def __init__(self, folder: str) -> None:
        kind = read_config(Path(folder))["kind"]
        if kind != CrossEncoder.kind:
            file = Path(folder) / SELECTOR
            raise ValueError(f"model.teacher: {file} is of a {kind}; give the folder of a cross-encoder")
        self._folder = folder
        self._loaded: CrossEncoder | None = None

    @torch.no_grad()
    def scores(self, student: Selector, examples: Examples, pools: Pools) -> Tensor:
        """Return the (B, C) scores of B pools of C candidates each, on the student's device."""
        if self._loaded is None:
            self._loaded = CrossEncoder.from_pretrained(self._folder, device=student.device, dtype="float32")
            self._check_tokenizer(student.tokenizer, self._loaded.tokenizer)
        teacher = self._loaded
        rows = [teacher.context_row(example.turns, example.persona) for example in examples]
        return teacher.score_rows(rows, pools)

    def _check_tokenizer(self, student: TextTokenizer, own: TextTokenizer) -> None:
        if store_key("", student) != store_key("", own):
            raise ValueError(
                f"model.teacher: {self._folder} has another tokenizer than the model that is trained; start both from "
                "the same model.pretrained_model_name_or_path"
            )


@dataclass(frozen=True, kw_only=True)
class MarginDistillation(InBatchNegatives):
    """In-batch loss plus margin-MSE to a teacher. Source: arXiv:2010.02666, equation 6.

    The second addend is the mean squared difference of the teacher's and the student's margins; a margin is the score
    of the response minus that of a negative.
    """

    teacher: Teacher
    weight: float
    num_negatives: int

    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        encoder = cast(DualEncoder, selector)
        batch = self.encode(encoder, examples)
        drawn = draw_pools(examples, self.num_negatives)
        count = mean_counts([sum(len(pool) - 1 for pool in drawn)], selector.device)[0]
        if batch.contexts is None:
            return batch.candidates.sum() * 0
        pools, mask = pad_pools(drawn)
        scores = encoder.score_encoded(batch.contexts, batch.candidates)
        columns = {tuple(ids): column for column, ids in enumerate(batch.texts)}
        chosen = torch.tensor([[columns[tuple(ids)] for ids in pool] for pool in pools], device=scores.device)
        taught = self.teacher.scores(selector, examples, pools)
        margins = margin_mse(scores.gather(1, chosen), taught, mask.to(scores.device), count)
        return self.scores_loss(scores, batch) + self.weight * margins


def margin_mse(student: Tensor, teacher: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of margins; a scalar, 0 without a negative.

    Args:
        student, teacher: (B, C) scores; those of the responses are in column 0.
        mask: (B, C), true for candidates that count.
        count: number by which the sum over negatives is divided; None for the number of negatives that count.
    """
    difference = (student[:, :1] - student) - (teacher[:, :1] - teacher)
    counted = mask[:, 1:]
    return (difference[:, 1:].square() * counted).sum() / (counted.sum().clamp(min=1) if count is None else count)
