"""The in-batch loss, against the formula as written."""

import pytest
import torch
from torch.nn import functional

from convmodel.models.selection.losses import in_batch_loss


def test_the_loss_is_cross_entropy_over_the_batch_without_duplicates_of_the_response() -> None:
    scores = torch.randn(5, 5, dtype=torch.double)
    different = torch.arange(5)
    for smoothing in (0.0, 0.2):
        expected = functional.cross_entropy(scores, different, label_smoothing=smoothing)
        loss = in_batch_loss(scores, different, label_smoothing=smoothing)
        assert float(loss) == pytest.approx(float(expected), abs=1e-6)
    texts = torch.tensor([0, 1, 0, 2, 1])
    total = 0.0
    for row in range(5):
        columns = [column for column in range(5) if column == row or texts[column] != texts[row]]
        total -= float(scores[row, columns].log_softmax(0)[columns.index(row)])
    assert float(in_batch_loss(scores, texts)) == pytest.approx(total / 5, abs=1e-6)
    assert float(in_batch_loss(scores, torch.zeros(5))) == 0.0  # nothing to tell apart
    smoothed = in_batch_loss(scores, torch.zeros(5), label_smoothing=0.2)
    assert float(smoothed) == 0.0
