"""The result of a training and what it says."""

from types import SimpleNamespace
from typing import Any, cast

from convmodel.training.export import BestExport
from convmodel.training.fit_result import FitRecorder, FitResult, Validation
from convmodel.training.samples import ReplySamples


def test_a_result_says_what_the_best_validation_found() -> None:
    best = Validation(120, 1, {"val_loss": 2.30259, "val_perplexity": 10.0})
    result = FitResult("val_loss", best, (best,), 1180, 3, 61.2, False, "model")
    text = (
        "FitResult(best at step 120: val_loss 2.303, val_perplexity 10; 1,180 steps in 3 epochs, 61 s, saved to model)"
    )
    assert repr(result) == text


def test_a_result_without_validation_says_so() -> None:
    result = FitResult("val_loss", None, (), 12, 2, 3.4, True, None)
    assert repr(result) == "FitResult(not validated; 12 steps in 2 epochs, 3 s, interrupted)"


def record(*losses: float) -> FitResult:
    """Record validations with these losses, of which the export has kept the smallest."""
    export = BestExport(None, ReplySamples())
    export.best = min(losses)
    recorder = FitRecorder(export)
    progress = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=1)))
    trainer: Any = SimpleNamespace(global_step=0, fit_loop=progress, sanity_checking=False, callback_metrics={})
    module: Any = SimpleNamespace(monitor="val_loss")
    recorder.on_train_start(trainer, module)
    for step, loss in enumerate(losses, 1):
        trainer.global_step = step
        trainer.callback_metrics = {"val_loss": loss, "train_loss": 1.0}
        recorder.on_validation_end(trainer, module)
    return recorder.result(interrupted=False, saved_to=None)


def test_the_best_validation_is_that_of_the_exported_model() -> None:
    result = record(3.0, 1.5, 2.0)
    assert result.best == Validation(2, 0, {"val_loss": 1.5})
    assert [each.step for each in result.validations] == [1, 2, 3]


def test_a_metric_that_is_not_finite_is_not_the_best() -> None:
    assert record(float("inf")).best is None
    assert cast(float, record(2.0, 2.0).best.step) == 1  # type: ignore[union-attr]
