"""Candidates that several processes encode: the index is that of one process, and a killed build goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.step_runner import Step, run_in_processes, run_on_ray
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.index.encoding import EncoderSource, EncoderWorkers
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.index.candidates import TEXTS, content, given


def backwards(steps: Sequence[Step]) -> Iterator[None]:
    """Run the steps in this process, the last one first."""
    for step in reversed(steps):
        step()
        yield


class Stopped(BaseException):
    """Ends a build as a kill does."""


def stopping(steps: Sequence[Step], *, after: int) -> Iterator[None]:
    for step in steps[-after:]:  # the first steps are missing, so that nothing can be appended
        step()
        yield
    raise Stopped


@pytest.fixture
def source(selector: BiEncoder, tmp_path: Path) -> EncoderSource:
    selector.save_pretrained(tmp_path / "model")
    return EncoderSource(str(tmp_path / "model"), "cpu", "float32")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_order_in_which_batches_end_does_not_matter(
    selector: BiEncoder, source: EncoderSource, tmp_path: Path, dtype: str
) -> None:
    build_index(selector, given(), tmp_path / "whole", batch=8, dtype=dtype)
    told: list[tuple[int, int]] = []
    build_index(
        *(selector, given(), tmp_path / "index"),
        batch=8,
        dtype=dtype,
        workers=EncoderWorkers(source, backwards),
        progress=lambda *each: told.append(each),
    )
    assert content(tmp_path / "index") == content(tmp_path / "whole")
    assert told == [(0, 30), (8, 30), (16, 30), (24, 30), (30, 30)]


def test_batches_of_an_interrupted_run_are_used(selector: BiEncoder, source: EncoderSource, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "whole", batch=8)
    workers = EncoderWorkers(source, partial(stopping, after=3))
    with pytest.raises(Stopped):
        build_index(selector, given(), tmp_path / "index", batch=8, workers=workers)
    parts = sorted((tmp_path / "index").glob("part-*"))
    assert [path.name[-17:-8].lstrip("0") for path in parts] == ["8", "16", "24"]
    ran: list[Path] = []

    def watching(steps: Sequence[Step]) -> Iterator[None]:
        for step in steps:
            ran.append(step.output)
            step()
            yield

    build_index(selector, given(), tmp_path / "index", batch=8, workers=EncoderWorkers(source, watching))
    assert len(ran) == 1
    assert content(tmp_path / "index") == content(tmp_path / "whole")


def test_batches_of_other_candidates_are_removed(selector: BiEncoder, source: EncoderSource, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        workers = EncoderWorkers(source, partial(stopping, after=2))
        build_index(selector, given(TEXTS[1:]), tmp_path / "index", batch=8, workers=workers)
    build_index(selector, given(), tmp_path / "index", batch=8, workers=EncoderWorkers(source, backwards))
    build_index(selector, given(), tmp_path / "whole", batch=8)
    assert content(tmp_path / "index") == content(tmp_path / "whole")


def test_a_worker_with_another_model_is_an_error(
    make_selector: MakeSelector, source: EncoderSource, tmp_path: Path
) -> None:
    other = make_selector(architecture="gpt2")
    with pytest.raises(ValueError, match="model: a worker reads another model in this folder"):
        build_index(other, given(), tmp_path / "index", workers=EncoderWorkers(source, backwards))


@pytest.mark.slow
def test_processes_make_the_same_index_also_after_a_kill(
    selector: BiEncoder, source: EncoderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    build_index(selector, given(), tmp_path / "whole", batch=4)
    program = f"""
import os, signal
from functools import partial
from convmodel.data.candidates import CandidateText
from convmodel.data.step_runner import run_in_processes
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.index.encoding import EncoderSource, EncoderWorkers
from convmodel.models.selection.selector import Selector
if __name__ == "__main__":
    selector = Selector.from_pretrained("model", "cpu", "float32")
    run_all = partial(run_in_processes, workers=2, computing=True)
    workers = EncoderWorkers(EncoderSource("model", "cpu", "float32"), run_all)
    kill = lambda done, total: done >= 12 and os.kill(os.getpid(), signal.SIGKILL)
    build_index(selector, map(CandidateText, {TEXTS!r}), "index", batch=4, progress=kill, workers=workers)
"""
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    with open(tmp_path / "errors", "w") as errors:
        killed = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment, stderr=errors)
    assert killed.returncode == -signal.SIGKILL, (tmp_path / "errors").read_text()
    workers = EncoderWorkers(source, partial(run_in_processes, workers=2, computing=True))
    built = build_index(selector, given(), tmp_path / "index", batch=4, workers=workers)
    assert built.resumed == 12
    assert content(tmp_path / "index") == content(tmp_path / "whole")


@pytest.mark.slow
def test_ray_makes_the_same_index(selector: BiEncoder, source: EncoderSource, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    build_index(selector, given(), tmp_path / "whole", batch=8)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        workers = EncoderWorkers(source, partial(run_on_ray, address=None, computing=True))
        build_index(selector, given(), tmp_path / "index", batch=8, workers=workers)
    finally:
        ray.shutdown()
    assert content(tmp_path / "index") == content(tmp_path / "whole")


@pytest.mark.slow
def test_the_command_with_workers_writes_the_same_files(
    selector: BiEncoder, source: EncoderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("c.txt").write_text("\n".join(TEXTS))
    common = ["index", "--model", "model", "--candidates", "c.txt", "--batch", "8", "--device", "cpu"]
    assert main([*common, "--output", "whole"]) == 0
    assert main([*common, "--output", "index", "--workers", "2"]) == 0
    assert content(Path("index")) == content(Path("whole"))
    assert storage.read_state(Path("index")).left == 30
