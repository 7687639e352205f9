"""The reports of two small models."""

from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, evaluate
from tests.reports.evaluation.helpers import OPTIONS, save_models


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models `model` and `uniform`, and `talks.jsonl`."""
    path = tmp_path_factory.mktemp("evaluation")
    save_models(path)
    return path


@pytest.fixture(scope="package")
def evaluated(folder: Path) -> Evaluation:
    """Return the evaluation of `model`."""
    return evaluate(folder / "model", folder / "talks.jsonl", options=OPTIONS, device="cpu")


@pytest.fixture(scope="package")
def uniform(folder: Path) -> Evaluation:
    """Return the evaluation of `uniform`."""
    return evaluate(folder / "uniform", folder / "talks.jsonl", options=OPTIONS, device="cpu")
