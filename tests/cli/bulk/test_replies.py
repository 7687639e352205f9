"""Replies for a file: their form, their order, their seeds, and what happens when something goes wrong or is killed."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from convmodel.cli.bulk.job import files_digest, folder_digest
from convmodel.cli.bulk.journal import partial
from convmodel.cli.bulk.progress import progress_bar
from convmodel.cli.bulk.replies import ReplyFileJob, reply_to_file
from convmodel.cli.bulk.runner import Progress, Result
from convmodel.data.conversation import Conversation, read_conversations
from convmodel.responders.protocol import Candidate, Reply
from tests.fakes import FakeResponder

ROOT = Path(__file__).parents[3]


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


def test_each_conversation_gets_a_line_with_its_reply_that_is_read_as_a_conversation(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["Hello"], {"turns": ["a", "b", "日本"], "persona": ["I like rain."], "id": 7}])
    result = run(tmp_path, FakeResponder(lambda context, *_: f"reply to {context[-1]}"))
    assert (result.lines, result.resumed, result.failed) == (2, 0, 0)
    first, second = read_conversations(tmp_path / "out.jsonl")
    assert first.turns == ("Hello", "reply to Hello")
    assert second.turns == ("a", "b", "日本", "reply to 日本") and second.persona == ("I like rain.",)
    assert second.meta is not None and second.meta["id"] == 7
    assert second.meta["responses"] == ["reply to 日本"] and second.meta["finish"] == "end"
    assert set(second.meta) == {"id", "responses", "finish", "seed", "turns_dropped"}
    assert not partial(tmp_path / "out.jsonl").exists()


def test_the_last_turn_can_be_replied_in_place_of_and_is_kept_as_gold(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a", "b", "c"]])
    responder = FakeResponder()
    run(tmp_path, responder, last=True)
    [line] = lines_of(tmp_path / "out.jsonl")
    assert responder.asked[0]["context"] == ("a", "b") and line["turns"][:2] == ["a", "b"]
    assert line["gold"] == "c" and line["turns"][2:] == line["responses"]


def test_candidates_stand_best_first_with_their_scores(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    run(tmp_path, options={"num_return_sequences": 3})
    [line] = lines_of(tmp_path / "out.jsonl")
    assert line["scores"] == [-1.0, -2.0, -3.0] and len(line["responses"]) == 3
    assert line["turns"][-1] == line["responses"][0]


def test_a_persona_is_for_those_who_have_none(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"], {"turns": ["b"], "persona": ["Mine."]}])
    responder = FakeResponder()
    run(tmp_path, responder, persona=("Yours.",))
    assert [asked["persona"] for asked in responder.asked] == [("Yours.",), ("Mine.",)]
    assert [line["persona"] for line in lines_of(tmp_path / "out.jsonl")] == [["Yours."], ["Mine."]]


@pytest.mark.parametrize(("concurrency", "capacity"), [(1, None), (7, None), (64, 3), (64, None)])
def test_the_replies_do_not_depend_on_how_many_are_asked_for_at_a_time(
    tmp_path: Path, concurrency: int, capacity: int | None
) -> None:
    write(tmp_path / "in.jsonl", many(50))
    run(tmp_path, output=str(tmp_path / "one.jsonl"), concurrency=1)
    run(tmp_path, FakeResponder(capacity=capacity), concurrency=concurrency)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["turns"][:-1] for line in lines] == many(50)
    assert len({line["seed"] for line in lines}) == 50


def test_another_seed_gives_other_replies(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(20))
    run(tmp_path)
    run(tmp_path, output=str(tmp_path / "other.jsonl"), seed=1)
    one, other = (lines_of(tmp_path / name) for name in ("out.jsonl", "other.jsonl"))
    assert not {line["seed"] for line in one} & {line["seed"] for line in other}
    assert [line["responses"] for line in one] != [line["responses"] for line in other]


def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    responder = FakeResponder(capacity=0)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        responder._capacity = None

    monkeypatch.setattr(time, "sleep", nap)
    assert run(tmp_path, responder).lines == 1 and len(naps) == 1


def test_a_reply_without_text_is_no_turn(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    result = run(tmp_path, FakeResponder(lambda *_: " "))
    [line] = lines_of(tmp_path / "out.jsonl")
    assert line["turns"] == ["a"] and line["responses"] == [" "] and result.failed == 1
    assert "1 without a reply" in result.summary("out.jsonl")


# Errors


def test_what_cannot_be_read_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('["a"]\n["b", ""]\n')
    responder = FakeResponder()
    with pytest.raises(ValueError, match=r"in.jsonl:2: turn 2 is empty; .* on_error='skip'"):
        run(tmp_path, responder)
    assert responder.asked == [] and os.listdir(tmp_path) == ["in.jsonl"]
    result = run(tmp_path, responder, on_error="skip")
    assert "1 line skipped: first" in result.input_summary and len(lines_of(tmp_path / "out.jsonl")) == 1


def test_a_conversation_without_a_turn_to_replace_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a", "b"], ["a"]])
    with pytest.raises(ValueError, match=r"in.jsonl:2: there is only one turn; a conversation needs two"):
        run(tmp_path, last=True)


def test_what_cannot_be_replied_to_stops_after_the_lines_before_it_and_can_be_skipped(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"], ["this is too long"], ["c"]])
    with pytest.raises(ValueError, match=r"in.jsonl: conversation 2: the last turn does not fit .*--on_error skip"):
        run(tmp_path)
    assert len(lines_of(partial(tmp_path / "out.jsonl"))) == 1
    result = run(tmp_path, on_error="skip")  # goes on from there
    assert (result.resumed, result.failed) == (1, 1)
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["turns"][0] for line in lines] == ["a", "this is too long", "c"]
    assert "does not fit" in lines[1]["error"] and lines[1]["turns"] == ["this is too long"]


def test_a_failure_cancels_what_is_running_and_the_next_run_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(9))

    class Failing(FakeResponder):
        def pause(self, number: int, cancelled: Any) -> bool:
            if len(self.asked) >= 9:
                raise RuntimeError("out of memory")
            return super().pause(number, cancelled)

    responder = Failing()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, responder, concurrency=3)
    begun = len(lines_of(partial(tmp_path / "out.jsonl")))
    assert 0 < begun < 9
    assert run(tmp_path).resumed == begun
    assert len(lines_of(tmp_path / "out.jsonl")) == 9


def test_options_that_cannot_be_followed_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    with pytest.raises(ValueError, match="temperature=0"):
        run(tmp_path, options={"temperature": 0})
    assert os.listdir(tmp_path) == ["in.jsonl"]


# Going on


def test_a_complete_file_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(5))
    run(tmp_path)
    before = (tmp_path / "out.jsonl").stat()
    responder = FakeResponder()
    result = run(tmp_path, responder)
    assert responder.asked == [] and "complete already, 5 lines" in result.summary("out.jsonl")
    assert (tmp_path / "out.jsonl").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "another seed"),
        ({"options": {"temperature": 0.5}}, "another temperature"),
        ({"options": {"temperature": 0.5}, "last": True}, "another options and another last"),
        ({"digest": "n"}, "another model"),
        ({"persona": ("I like rain.",)}, "another persona"),
        ({"input": "other.jsonl"}, "another input"),
    ],
)
def test_lines_are_only_added_to_those_made_in_the_same_way(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write(tmp_path / "in.jsonl", [["a", "b"], ["this is too long"] * 2])
    write(tmp_path / "other.jsonl", [["a", "b"], ["c", "d"]])
    with pytest.raises(ValueError, match="does not fit"):
        run(tmp_path)
    if "input" in change:
        change = {"input": str(tmp_path / change["input"])}
    with pytest.raises(ValueError, match=rf"out.jsonl.partial: was begun with {told}; .* \(--overwrite\)"):
        run(tmp_path, **{"on_error": "skip", **change})
    assert run(tmp_path, **{"on_error": "skip", "overwrite": True, **change}).resumed == 0
    with pytest.raises(ValueError, match=r"out.jsonl: is there already, made in another way; remove it"):
        run(tmp_path, on_error="skip")


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(3))
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(ValueError, match="is there already, made in another way"):
        run(tmp_path)
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"
    run(tmp_path, overwrite=True)
    assert len(lines_of(tmp_path / "out.jsonl")) == 3


@pytest.mark.parametrize("torn", [b'{"turns": ["x', b"\x00\x00\x00\n", b'"a text"\n{"turns": ["a"]}\n'])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path / "in.jsonl", many(5))
    run(tmp_path)
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    partial(tmp_path / "out.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:2]) + torn)
    assert run(tmp_path).resumed == 2
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])

    class Nested(FakeResponder):
        def start(self, *arguments: Any, **options: Any) -> Any:
            with pytest.raises(ValueError, match=r"out.jsonl.partial: another process is writing it"):
                run(tmp_path)
            return super().start(*arguments, **options)

    assert run(tmp_path, Nested()).lines == 1


@pytest.mark.parametrize(
    ("output", "told"),
    [("no/out.jsonl", "there is no folder"), (".", "is a folder"), ("out.jsonl.gz", "are not written gzipped")],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, output: str, told: str) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    with pytest.raises((ValueError, OSError), match=told):
        run(tmp_path, output=str(tmp_path / output))


def test_the_digest_of_a_model_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"1")
    (tmp_path / "README.md").write_bytes(b"1")
    before = folder_digest(str(tmp_path))
    (tmp_path / "README.md").write_bytes(b"2")
    assert folder_digest(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert folder_digest(str(tmp_path)) != before
    assert folder_digest("gpt2") == "gpt2"


def test_there_is_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(3, 1) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_there_is_no_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(3, 1) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_a_score_of_nothing_is_left_out(tmp_path: Path) -> None:
    from convmodel.cli.bulk.replies import _reply_line

    job = ReplyFileJob(input="in", output="out")
    reply = Reply((Candidate("x", 0.123456), Candidate("y")))
    line = json.loads(_reply_line(job, Conversation(["a"]), reply).text)
    assert line["scores"] == [0.1235, None] and line["seed"] is None


def test_of_what_was_chosen_a_line_tells_where_it_came_from(tmp_path: Path) -> None:
    from convmodel.cli.bulk.replies import _reply_line

    candidates = (
        Candidate("x", 2.123456, "both", 7, {"line": 8}, {"written": -0.123456, "chosen": 3.0}),
        Candidate("y", 1.0, "chosen", 2, None, {"chosen": 4.0}),
        Candidate("", -math.inf, "written", None, None, {"written": -math.inf}),
    )
    line = json.loads(
        _reply_line(ReplyFileJob(input="in", output="out"), Conversation(["a"]), Reply(candidates, ranked_by="x")).text
    )
    assert line["turns"] == ["a", "x"] and line["responses"] == ["x", "y", ""]
    assert line["scores"] == [2.1235, 1.0, None] and line["ranked_by"] == "x"
    assert line["provenance"] == [
        {"source": "both", "number": 7, "metadata": {"line": 8}, "scores": {"written": -0.1235, "chosen": 3.0}},
        {"source": "chosen", "number": 2, "scores": {"chosen": 4.0}},
        {"source": "written", "scores": {"written": None}},
    ]
    assert next(read_conversations(_saved(tmp_path, line))).turns == ("a", "x")


def _saved(tmp_path: Path, line: dict[str, Any]) -> Path:
    return write(tmp_path / "line.jsonl", [line])


def test_the_digest_of_files_is_that_of_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "vectors.bin").write_bytes(b"1")
    digests = [files_digest(str(folder))]
    (folder / "deep" / "vectors.bin").write_bytes(b"2")
    digests.append(files_digest(str(folder)))
    (folder / "deep" / "vectors.bin").rename(folder / "vectors.bin")
    digests += [files_digest(str(folder)), files_digest(str(folder / "vectors.bin"))]
    assert len(set(digests)) == 4 and files_digest(str(folder)) == digests[2]
    with pytest.raises(FileNotFoundError):
        files_digest(str(tmp_path / "none"))


# Killing

PROGRAM = """\
import sys
from convmodel.cli.bulk.progress import progress_bar
from convmodel.cli.bulk.replies import ReplyFileJob, reply_to_file
from tests.fakes import FakeResponder

job = ReplyFileJob(input=sys.argv[1], output=sys.argv[2], concurrency=5)
reply_to_file(FakeResponder(seconds=0.001), job, digest="m", show=progress_bar)
"""


def written(output: Path) -> int:
    """How many lines are there before the end."""
    return partial(output).read_bytes().count(b"\n") if partial(output).exists() else 0


def test_killed_at_any_moment_and_started_again_it_writes_each_line_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(150))
    run(tmp_path, output=str(tmp_path / "whole.jsonl"))
    source, kills, seen = random.Random(0), 0, [0]
    output = tmp_path / "out.jsonl"
    while not output.exists():
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "in.jsonl"), str(output)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        while kills % 3 and process.poll() is None and written(output) <= seen[-1]:  # two of three get somewhere
            time.sleep(0.005)
        try:
            process.wait(source.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        assert errors == b""
        seen.append(written(output))
    assert kills >= 2 and seen[:-1] == sorted(seen[:-1])
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial(output).exists()
