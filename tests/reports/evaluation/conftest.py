"""The reports of small models."""

from pathlib import Path

import pytest

from convmodel.models.document_model import DocumentModel
from convmodel.reports.evaluation import Evaluation, evaluate
from tests.reports.evaluation.helpers import (
    DOCUMENT_OPTIONS,
    OPTIONS,
    document_model,
    save_document_models,
    save_models,
)


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


@pytest.fixture(scope="package", name="document_model")
def _document_model() -> DocumentModel:
    return document_model()


@pytest.fixture(scope="package")
def documents_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the document models `model` and `plain`, and `documents.jsonl`."""
    path = tmp_path_factory.mktemp("documents")
    save_document_models(path)
    return path


@pytest.fixture(scope="package")
def documents_report(documents_folder: Path) -> Evaluation:
    """Return the evaluation of the document model."""
    data = documents_folder / "documents.jsonl"
    return evaluate(documents_folder / "model", data, options=DOCUMENT_OPTIONS, device="cpu")
