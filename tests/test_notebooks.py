"""The notebooks of the examples, executed on a copy of the example data with fewer steps."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeModel

pytestmark = pytest.mark.slow

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("pytorch_lightning")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "notebooks"
SHORTER = {
    "talk": {"STEPS = 1000": "STEPS = 4", '"n_embd": 256': '"n_embd": 32'},
    "fine_tune_on_your_own_chats": {"HuggingFaceTB/SmolLM2-135M-Instruct": "base"},
    "choose_from_a_faq": {"EPOCHS = 60": "EPOCHS = 2"},
}
"""For each notebook, parts of its code and their replacement."""

LAST_OUTPUTS = {
    "talk": "Do you have any pets?",
    "fine_tune_on_your_own_chats": "<th>reply</th>",
    "choose_from_a_faq": "<th>score</th>",
}


@pytest.fixture
def folder(tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the notebooks beside the first conversations of the example data, and a small model `base`."""
    (tmp_path / "data").mkdir()
    for file in (ROOT / "examples" / "data").glob("faq*"):
        shutil.copy(file, tmp_path / "data")
    for name in ("train", "valid"):
        lines = (ROOT / "examples" / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:60]
        (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    make_model(n_positions=256).save_pretrained(tmp_path / "notebooks" / "base")
    for name, value in {"OMP_NUM_THREADS": "1", "CONVMODEL_DEVICE": "cpu"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    return tmp_path / "notebooks"


def outputs(notebook: Any) -> list[str]:
    """Return the texts of all outputs of a notebook."""
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [str(output.get("data", output.get("text"))) for output in shown]


def test_there_is_a_test_of_each_notebook() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == SHORTER.keys()


@pytest.mark.parametrize("name", SHORTER)
def test_a_notebook_runs_and_leaves_no_files(folder: Path, name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        for old, new in SHORTER[name].items():
            cell.source = cell.source.replace(old, new)
    before = sorted(folder.rglob("*"))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    assert LAST_OUTPUTS[name] in outputs(notebook)[-1]
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", SHORTER)
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not outputs(notebook)
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
