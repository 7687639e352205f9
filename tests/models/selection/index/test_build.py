"""Candidate indexes: built, interrupted, extended, pruned, refused; and the command."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convmodel.__main__ import main
from convmodel.data.candidates import CandidateText
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.selector import Selector
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.index.candidates import TEXTS, content, given

pytestmark = pytest.mark.machine


def watched(selector: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that receives the texts that the selector encodes from now on."""
    encoded: list[str] = []
    encode = selector.encode_candidates

    def watch(candidates: Sequence[str]) -> Tensor:
        encoded.extend(candidates)
        return encode(candidates)

    monkeypatch.setattr(selector, "encode_candidates", watch)
    return encoded


# Built


def test_equal_texts_become_one_candidate_with_the_metadata_of_the_first(selector: BiEncoder, tmp_path: Path) -> None:
    candidates = [
        CandidateText(" the sea", {"from": "first"}),
        CandidateText("rain"),
        CandidateText("the sea\n", {"from": "second"}),
        CandidateText("rain", {"late": True}),
        CandidateText("元気", {"名": [1, None]}),
    ]
    built = build_index(selector, candidates, tmp_path / "index")
    assert (built.added, built.repeated) == (3, 2)
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert [(index.text(n), index.metadata(n)) for n in index.numbers()] == [
        (" the sea", {"from": "first"}),
        ("rain", None),
        ("元気", {"名": [1, None]}),
    ]
    for number in (-1, 3):
        with pytest.raises(IndexError, match=f"there is no candidate {number}; its numbers are below 3"):
            index.text(number)


def test_float16_takes_half_the_space(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "half", dtype="float16")
    assert (tmp_path / "half" / storage.VECTORS).stat().st_size == 30 * 16 * 2
    best = CandidateIndex.open(tmp_path / "half", selector).search(selector.encode_contexts([["Hello"]]), 3)
    kept = selector.encode_candidates(TEXTS).half().double()
    scores = (kept @ selector.encode_contexts([["Hello"]]).vectors[0, 0].double()).float()
    assert best.scores[0].tolist() == scores.topk(3).values.tolist()
    with pytest.raises(ValueError, match="its vectors are float32, and float16 was requested"):
        build_index(selector, given(), tmp_path / "whole")
        build_index(selector, given(["new"]), tmp_path / "whole", append=True, dtype="float16")


# Interrupted and resumed


class Stopped(BaseException):
    """Ends a build as a kill does: no code of the package catches it."""


@pytest.mark.parametrize("last", [0, 1, 3])
def test_an_interrupted_build_resumes_and_writes_the_same_files(
    make_selector: MakeSelector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    selector = make_selector()
    build_index(selector, given(), tmp_path / "whole", batch=8)

    def stop(done: int, total: int) -> None:
        if done == 8 * last:
            raise Stopped

    with pytest.raises(Stopped):
        build_index(selector, given(), tmp_path / "index", batch=8, progress=stop)
    with pytest.raises(ValueError if last else FileNotFoundError, match="is not finished" if last else "no index"):
        CandidateIndex.open(tmp_path / "index", selector)
    encoded = watched(selector, monkeypatch)
    built = build_index(selector, given(), tmp_path / "index", batch=8)
    assert built.resumed == 8 * last and encoded == TEXTS[8 * last :]
    assert content(tmp_path / "index") == content(tmp_path / "whole")


def test_a_build_of_other_candidates_starts_again(selector: BiEncoder, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        build_index(selector, given(), tmp_path / "index", batch=8, progress=stop)
    built = build_index(selector, given(TEXTS[1:]), tmp_path / "index", batch=8)
    assert built.resumed == 0
    build_index(selector, given(TEXTS[1:]), tmp_path / "whole", batch=8)
    assert content(tmp_path / "index") == content(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_build_resumes_where_it_stopped(selector: BiEncoder, tmp_path: Path) -> None:
    selector.save_pretrained(tmp_path / "model")
    program = f"""
import os, signal, sys
from convmodel.data.candidates import CandidateText
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.selector import Selector
selector = Selector.from_pretrained("model", dtype="float32")
kill = lambda done, total: done >= 16 and os.kill(os.getpid(), signal.SIGKILL)
build_index(selector, map(CandidateText, {TEXTS!r}), "index", batch=8, progress=kill)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with open(tmp_path / "index" / storage.VECTORS, "ab") as file:
        file.write(b"half a row")  # as if it was killed while it wrote
    same = Selector.from_pretrained(tmp_path / "model", dtype="float32")
    built = build_index(same, given(), tmp_path / "index", batch=8)
    assert built.resumed == 16
    build_index(same, given(), tmp_path / "whole", batch=8)
    assert content(tmp_path / "index") == content(tmp_path / "whole")


# Added to and taken from


def test_only_new_candidates_are_encoded(selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(selector, given(TEXTS[:10]), tmp_path / "index")
    encoded = watched(selector, monkeypatch)
    built = build_index(selector, given(), tmp_path / "index", append=True, batch=6)
    assert (built.added, built.repeated) == (20, 10) and encoded == TEXTS[10:]
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert [index.text(number) for number in index.numbers()] == TEXTS
    torch.testing.assert_close(index.candidates.vectors, selector.encode_candidates(TEXTS), rtol=1e-4, atol=1e-5)
    assert build_index(selector, given(), tmp_path / "index", append=True).added == 0


def test_remaining_candidates_keep_their_numbers(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "index")
    contexts = selector.encode_contexts([["Hello"]])
    order = CandidateIndex.open(tmp_path / "index", selector).search(contexts, 30).ids[0].tolist()
    state = remove_candidates(tmp_path / "index", selector, numbers=[order[0], 4], texts=[f" {TEXTS[7]}\n"])
    removed = {order[0], 4, 7}
    assert state.left == 30 - len(removed)
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert index.search(contexts, 30).ids[0].tolist() == [number for number in order if number not in removed]
    with pytest.raises(IndexError, match="there is no candidate 7"):
        index.metadata(7)
    for numbers, texts in (([7], []), ([30], []), ([], [TEXTS[4]]), ([], ["unheard of"])):
        with pytest.raises(ValueError, match=r"there is no candidate|was removed earlier|no candidate has"):
            remove_candidates(tmp_path / "index", selector, numbers=[1, *numbers], texts=texts)
    assert storage.read_state(tmp_path / "index") == state
    build_index(selector, given(), tmp_path / "index", append=True)  # what was removed comes back at the end
    again = CandidateIndex.open(tmp_path / "index", selector)
    assert [again.text(number) for number in again.numbers()[-len(removed) :]] == [TEXTS[n] for n in sorted(removed)]
    remove_candidates(tmp_path / "index", selector, texts=TEXTS)
    empty = CandidateIndex.open(tmp_path / "index", selector)
    assert len(empty) == 0
    with pytest.raises(ValueError, match="k=1 of 0 candidates"):
        empty.search(contexts, 1)
    assert len(list((tmp_path / "index").glob("removed-*.bin"))) == 1


# Refused


def test_folders_that_are_not_an_index_are_not_changed(selector: BiEncoder, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("text")
    for name in ("full", "file"):
        with pytest.raises(FileExistsError, match="exists and is not an index; choose another path"):
            build_index(selector, given(), tmp_path / name)
    assert sorted(os.listdir(tmp_path / "full")) == ["letter.txt"]
    with pytest.raises(FileNotFoundError, match="there is no index to add to"):
        build_index(selector, given(), tmp_path / "new", append=True)
    build_index(selector, given(), tmp_path / "index")
    with pytest.raises(FileExistsError, match="is an index already; add to it"):
        build_index(selector, given(), tmp_path / "index")
    with pytest.raises(ValueError, match="there are no candidates; give at least one"):
        build_index(selector, [], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_vectors_that_are_not_finite_are_refused(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = selector.encode_candidates
    monkeypatch.setattr(selector, "encode_candidates", lambda texts: encode(texts) * 1e6)
    with pytest.raises(ValueError, match=r"the vector of candidate 0, 'I like the sea\.', is not finite in float16"):
        build_index(selector, given(), tmp_path / "index", dtype="float16")


def test_candidates_that_another_process_added_meanwhile_are_not_overwritten(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(selector, given(TEXTS[:5]), tmp_path / "index")
    locked = storage.locked

    def slowly(folder: Path) -> Any:
        monkeypatch.setattr(storage, "locked", locked)
        build_index(selector, given(TEXTS[5:9]), folder, append=True)
        return locked(folder)

    monkeypatch.setattr(storage, "locked", slowly)
    with pytest.raises(ValueError, match="another process changed this index just now; run the command again"):
        build_index(selector, given(TEXTS[9:]), tmp_path / "index", append=True)
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert [index.text(number) for number in index.numbers()] == TEXTS[:9]
    assert build_index(selector, given(TEXTS[9:]), tmp_path / "index", append=True).added == 21


# The command


def test_the_command_builds_appends_removes_and_searches(
    selector: BiEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    selector.save_pretrained("model")
    Path("some.jsonl").write_text('["Hello", "rain"]\n["Hello", "the sea"]\n')
    Path("more.txt").write_text("rain\nthe piano\n")
    Path("less.txt").write_text("Hello\n")
    common = ["index", "--model", "model", "--output", "index"]
    assert main([*common, "--candidates", "some.jsonl", "--turns"]) == 0
    assert capsys.readouterr().out == (
        "index: 3 added, 1 repeated left out; 3 candidates of 16 numbers\nsearch is exact\n"
    )
    assert main([*common, "--candidates", "more.txt", "--append"]) == 0
    assert "index: 1 added, 1 repeated left out; 4 candidates" in capsys.readouterr().out
    assert main([*common, "--remove", "less.txt", "--search", "Hello", "Do you like it?", "--k", "2"]) == 0
    removed, *lines = capsys.readouterr().out.splitlines()
    assert removed == "index: 1 removed, 3 candidates left" and len(lines) == 2
    scores = selector.score([["Hello", "Do you like it?"]], ["rain", "the sea", "the piano"])[0]
    best = ["rain", "the sea", "the piano"][int(scores.argmax())]
    assert lines[0].split(maxsplit=2)[2].strip() == best
    assert main([*common, "--remove-numbers", "1"]) == 0
    assert capsys.readouterr().out == "index: 1 removed, 2 candidates left\n"
    assert main(common) == 2
    assert "nothing to do; give --candidates" in capsys.readouterr().err
    for arguments, message in {
        ("--search", "Hello", "--half"): "--half has no effect without --candidates",
        ("--search", "Hello", "--turns"): "--turns has no effect without a file",
        ("--candidates", "more.txt", "--append", "--k", "3"): "--k has no effect without --search",
        ("--candidates", "more.txt", "--remove-numbers", "2"): "candidates to remove and to add",
    }.items():
        assert main([*common, *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["index", "--model", "model", "--output", "new", "--candidates", "none.txt"])
    assert "none.txt: there is no such file" in capsys.readouterr().err and not Path("new").exists()
    with pytest.raises(SystemExit):
        main([*common, "--candidates", "more.txt"])
    assert capsys.readouterr().err.startswith("error: index: is an index already; add to it (--append)")
