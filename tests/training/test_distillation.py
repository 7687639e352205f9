"""Margin-MSE, compared with the formula, and a teacher's scores."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.distillation import margin_mse
from convmodel.training.selector_module import SelectorModule
from convmodel.training.selector_modules import BiEncoderModule, PolyEncoderModule
from tests.models.selection.conftest import MakeSelector
from tests.training.test_selection_objectives import CONTEXTS, RESPONSES, examples, module

pytestmark = pytest.mark.machine


def teacher_folder(make_selector: MakeSelector, folder: Path) -> Path:
    make_selector(CrossEncoder, max_context=40).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("cls", [BiEncoderModule, PolyEncoderModule])
def test_the_loss_adds_squared_differences_of_margins(
    tokenizer: ConversationTokenizer, make_selector: MakeSelector, tmp_path: Path, cls: type[SelectorModule]
) -> None:
    folder = teacher_folder(make_selector, tmp_path / "teacher")
    taught = module(tokenizer, cls, teacher=str(folder), teacher_weight=0.5, teacher_negatives=9)
    plain = module(tokenizer, cls)
    plain.network.load_state_dict(taught.network.state_dict())
    batch = examples(tokenizer)
    student = plain.selector.score([[text] for text in CONTEXTS], RESPONSES).double()
    teacher = (
        CrossEncoder.from_pretrained(folder, device="cpu").score([[text] for text in CONTEXTS], RESPONSES).double()
    )
    squares = []
    for row, response in enumerate(RESPONSES):
        for column, text in enumerate(RESPONSES):
            if text != response and RESPONSES.index(text) == column:  # equal negatives count once
                own = (student[row, row] - student[row, column]) - (teacher[row, row] - teacher[row, column])
                squares.append(float(own) ** 2)
    expected = float(plain.batch_loss(batch).detach()) + 0.5 * sum(squares) / len(squares)
    loss = taught.batch_loss(batch)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert any(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in taught.network.parameters())
    assert not any("teacher" in name for name in taught.state_dict())


def test_without_a_negative_there_is_no_margin() -> None:
    scores = torch.tensor([[1.0, 1.0]])
    assert float(margin_mse(scores, scores * 3, torch.tensor([[True, False]]))) == 0.0


def test_other_teachers_are_refused(
    tokenizer: ConversationTokenizer, make_selector: MakeSelector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_selector().save_pretrained(tmp_path / "bi")
    with pytest.raises(ValueError, match="is of a bi-encoder; give the folder of a cross-encoder"):
        module(tokenizer, teacher=str(tmp_path / "bi"))
    with pytest.raises(ValueError, match=r"model\.teacher_weight=0, model\.teacher_negatives=4; allowed are"):
        module(tokenizer, teacher=str(teacher_folder(make_selector, tmp_path / "teacher")), teacher_weight=0)
    monkeypatch.setattr("convmodel.training.distillation.store_key", lambda _, tokenizer: id(tokenizer))
    student = module(tokenizer, teacher=str(tmp_path / "teacher"))
    with pytest.raises(ValueError, match="has another tokenizer than the model that is trained"):
        student.batch_loss(examples(tokenizer))
