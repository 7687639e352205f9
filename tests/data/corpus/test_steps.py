"""Whole corpora: the same bytes whatever runs the steps, and the conversations that ten plain lines find."""

import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpus_dump import write_dump
from convmodel.data.conversation import read_conversations
from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.filters import Filters
from convmodel.data.corpus.reddit import Reddit
from convmodel.data.corpus.steps import CorpusPlan, make_stages, read_counts
from convmodel.data.step_runner import run_in_processes, run_stages, share_of


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("dumps")
    for number in range(3):
        write_dump(folder / f"RC_{number}.zst", 1_500, seed=number)
    return tuple(str(folder / f"RC_{number}.zst") for number in range(3))


def plan_of(dumps: tuple[str, ...], output: Path, **options: Any) -> CorpusPlan:
    return CorpusPlan(Reddit(), dumps, output, 5, Filters(), **({"shares": (0.1, 0.1)} | options))


def run(plan: CorpusPlan, workers: int = 1) -> dict[str, bytes]:
    run_stages(make_stages(plan), lambda steps: run_in_processes(steps, workers), lambda *_: None)
    return files_of(plan)


def files_of(plan: CorpusPlan) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(plan.output.iterdir()) if file.is_file()}


def read(plan: CorpusPlan, split: str) -> list[tuple[str, tuple[str, ...]]]:
    found = list(read_conversations(f"{plan.output}/{split}-*{plan.suffix}"))
    return [(str((one.meta or {})["thread"]), one.turns) for one in found]


def test_the_corpus_is_that_of_all_comments_in_memory(dumps: tuple[str, ...], tmp_path: Path) -> None:
    plan = plan_of(dumps, tmp_path / "corpus")
    run(plan)
    counts: Counter[str] = Counter()
    rows = [row for path in dumps for row in Reddit().rows(path, TurnLimits(), counts)]
    threads: dict[str, list[Any]] = {}
    for row in sorted(rows):
        threads.setdefault(row[0], []).append(row)
    expected = {
        tuple(turns)
        for thread in threads.values()
        for turns in Reddit().conversations(thread, TurnLimits())
        if len(turns) > 1
    }
    found = [item for split in ("train", "valid", "test") for item in read(plan, split)]
    assert {turns for _, turns in found} == expected and len(found) == len(expected)
    assert read_counts(plan)["split"] == counts
    written = read_counts(plan)["write"]
    assert written["train"] == len(read(plan, "train")) and written["valid"] and written["test"]


def test_no_thread_is_in_two_splits(dumps: tuple[str, ...], tmp_path: Path) -> None:
    plan = plan_of(dumps, tmp_path / "corpus")
    run(plan)
    threads = {split: {thread for thread, _ in read(plan, split)} for split in ("train", "valid", "test")}
    assert not threads["train"] & threads["valid"] | threads["train"] & threads["test"]
    assert not threads["valid"] & threads["test"]
    assert 0.03 < len(threads["valid"]) / sum(map(len, threads.values())) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("similarity", [None, 0.8])
def test_bytes_do_not_depend_on_workers_or_shares(
    dumps: tuple[str, ...], tmp_path: Path, similarity: float | None
) -> None:
    alone = plan_of(dumps, tmp_path / "alone", similarity=similarity)
    expected = run(alone)
    assert len(expected) > 10
    assert run(plan_of(dumps, tmp_path / "two", similarity=similarity), workers=2) == expected
    shared = plan_of(dumps, tmp_path / "shared", similarity=similarity)
    for steps in make_stages(shared).values():
        for worker in (3, 1, 2):
            for step in reversed(share_of(steps, worker, 3)):
                step()
    assert files_of(shared) == expected
    assert read_counts(shared) == read_counts(alone)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(dumps: tuple[str, ...], tmp_path: Path) -> None:
    expected = run(plan_of(dumps, tmp_path / "whole"))
    plan = plan_of(dumps, tmp_path / "killed")
    for delay in (0.05, 0.1, 0.2, 0.4):
        process = multiprocessing.get_context("fork").Process(target=run, args=(plan,))
        process.start()
        time.sleep(delay)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert run(plan) == expected


def test_equal_and_similar_conversations_are_written_once(tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    texts = [
        ("Hello there", "Hi you"),
        ("Hello there", "Hi you"),
        ("First", words),
        ("First", words + " more"),
        ("x", "y"),
    ]
    lines = []
    for n, (first, second) in enumerate(texts):
        link = {"link_id": f"t3_{n}", "author": "a"}
        lines += [link | {"id": f"a{n}", "parent_id": f"t3_{n}", "body": first}]
        lines += [link | {"id": f"b{n}", "parent_id": f"t1_a{n}", "body": second, "author": "b"}]
    file = tmp_path / "dump.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    for similarity, expected in ((None, 4), (0.8, 3)):
        plan = plan_of((str(file),), tmp_path / str(similarity), similarity=similarity, shares=(0.0, 0.0))
        run(plan)
        assert len(read(plan, "train")) == expected
        counts = read_counts(plan)["write"]
        assert (counts["equal to another"], counts["similar to another"]) == (1, 4 - expected)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_every_format_is_read_again(dumps: tuple[str, ...], tmp_path: Path, suffix: str) -> None:
    plan = plan_of(dumps[:1], tmp_path / "corpus", suffix=suffix)
    files = run(plan)
    assert run(replace(plan, output=tmp_path / "again")) == files
    found = list(read_conversations(f"{plan.output}/*{suffix}"))
    assert len(found) == read_counts(plan)["build"]["kept"] - read_counts(plan)["write"]["equal to another"]
