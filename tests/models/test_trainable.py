"""The methods that train, without the trainer; tests/training/test_fitting.py runs them."""

import sys

import pytest

import convmodel
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.trainable import Trainable


def test_a_missing_library_is_an_error_with_the_command_that_installs_it(
    model: ConversationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("convmodel.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(convmodel, "training", raising=False)  # restored with its modules after the test
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(ModuleNotFoundError, match=r"training needs pytorch_lightning.*; pip install .*train"):
        model.fit([["Hello", "Hi"]])


def test_a_model_that_was_not_trained_has_no_result(model: ConversationModel) -> None:
    assert isinstance(model, Trainable) and model.fit_result is None
