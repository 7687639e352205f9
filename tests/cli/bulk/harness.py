"""Jobs of replies without a model, for the tests of batch generation."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convmodel.cli.bulk.replies import ReplyFileJob, reply_to_file
from convmodel.cli.bulk.runner import Progress, Result
from tests.fakes import FakeResponder


class Count:
    """Counts what is written."""

    def __init__(self) -> None:
        self.total = self.done = self.updates = 0

    def update(self, n: float | None = 1) -> None:
        self.updates += 1

    @contextmanager
    def show(self, total: int, done: int) -> Iterator[Progress]:
        self.total, self.done = total, done
        yield self


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def many(count: int) -> list[Any]:
    """Contexts of one to four turns."""
    source = random.Random(0)
    return [[f"{n} {turn}" for turn in range(source.randint(1, 4))] for n in range(count)]


def run(tmp_path: Path, responder: FakeResponder | None = None, **fields: Any) -> Result:
    digest = fields.pop("digest", "m")
    job = ReplyFileJob(**({"input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / "out.jsonl")} | fields))
    return reply_to_file(responder or FakeResponder(), job, digest=digest, show=Count().show)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
