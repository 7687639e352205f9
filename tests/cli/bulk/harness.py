"""Jobs of replies without a model, for the tests of batch generation."""

import json
import random
from pathlib import Path
from typing import Any

from convmodel.cli.bulk.job import ReplyJob
from convmodel.cli.bulk.runner import Result, run_job
from tests.fakes import FakeResponder


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def many(count: int) -> list[Any]:
    """Contexts of one to four turns."""
    source = random.Random(0)
    return [[f"{n} {turn}" for turn in range(source.randint(1, 4))] for n in range(count)]


def run(tmp_path: Path, responder: FakeResponder | None = None, **fields: Any) -> Result:
    defaults = {"input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / "out.jsonl"), "digest": "m"}
    return run_job(ReplyJob(responder or FakeResponder(), **(defaults | fields)))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
