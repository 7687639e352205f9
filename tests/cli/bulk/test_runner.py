"""Order, concurrency, errors and resumption of a batch job."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from convmodel.cli.bulk.journal import partial
from convmodel.cli.bulk.runner import progress_bar
from convmodel.data.options import ReadOptions
from tests.cli.bulk.harness import lines_of, many, run, write
from tests.fakes import FakeResponder

SKIP = ReadOptions(on_error="skip")


@pytest.mark.parametrize(("concurrency", "capacity"), [(1, None), (7, None), (64, 3), (64, None)])
def test_replies_do_not_depend_on_the_concurrency(tmp_path: Path, concurrency: int, capacity: int | None) -> None:
    write(tmp_path / "in.jsonl", many(50))
    run(tmp_path, output=str(tmp_path / "one.jsonl"), concurrency=1)
    run(tmp_path, FakeResponder(capacity=capacity), concurrency=concurrency)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["turns"][:-1] for line in lines] == many(50)
    assert len({line["seed"] for line in lines}) == 50


def test_a_job_waits_while_the_queue_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    responder = FakeResponder(capacity=0)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        responder._capacity = None

    monkeypatch.setattr(time, "sleep", nap)
    assert run(tmp_path, responder).lines == 1 and len(naps) == 1


def test_an_unreadable_line_is_an_error_before_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('["a"]\n["b", ""]\n')
    responder = FakeResponder()
    with pytest.raises(ValueError, match=r"in.jsonl:2: turn 2 is empty; .* on_error='skip'"):
        run(tmp_path, responder)
    assert responder.requests == [] and os.listdir(tmp_path) == ["in.jsonl"]
    result = run(tmp_path, responder, read_options=SKIP)
    assert "1 line skipped: first" in result.input_summary and len(lines_of(tmp_path / "out.jsonl")) == 1


def test_a_rejected_conversation_ends_the_job_after_the_lines_before_it_or_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"], ["this is too long"], ["c"]])
    with pytest.raises(ValueError, match=r"in.jsonl: conversation 2: the last turn does not fit .*on_error='skip'"):
        run(tmp_path)
    assert len(lines_of(partial(tmp_path / "out.jsonl"))) == 1
    result = run(tmp_path, read_options=SKIP)  # goes on from there
    assert (result.resumed, result.failed) == (1, 1)
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["turns"][0] for line in lines] == ["a", "this is too long", "c"]
    assert "does not fit" in lines[1]["error"] and lines[1]["turns"] == ["this is too long"]


def test_a_failure_cancels_running_requests_and_the_next_run_resumes(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(9))

    class Failing(FakeResponder):
        def pause(self, index: int, cancelled: Any) -> bool:
            if len(self.requests) >= 9:
                raise RuntimeError("out of memory")
            return super().pause(index, cancelled)

    responder = Failing()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, responder, concurrency=3)
    begun = len(lines_of(partial(tmp_path / "out.jsonl")))
    assert 0 < begun < 9
    assert run(tmp_path).resumed == begun
    assert len(lines_of(tmp_path / "out.jsonl")) == 9


def test_invalid_options_are_an_error_at_once(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    with pytest.raises(ValueError, match="temperature=0"):
        run(tmp_path, options={"temperature": 0})
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_there_is_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(3, 1, unit="replies") as advance:
        advance()
    assert capsys.readouterr().err == ""


def test_there_is_no_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(3, 1, unit="replies") as advance:
        advance()
    assert capsys.readouterr().err == ""
