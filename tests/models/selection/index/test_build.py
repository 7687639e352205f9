"""Candidate indexes: made, killed, gone on with, added to, taken from, and searched."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convmodel.__main__ import main
from convmodel.data.candidates import CandidateText
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import build, hnsw, storage
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex, CandidateSet
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

TEXTS = [
    f"I {verb} the {noun}{end}"
    for end in (".", "?")
    for verb in ("like", "play", "see")
    for noun in ("sea", "rain", "piano", "guitar", "house")
]


def given(texts: Sequence[str] = TEXTS) -> Iterator[CandidateText]:
    return map(CandidateText, texts)


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of an index."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def watched(selector: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that it encodes from now on."""
    encoded: list[str] = []
    encode = selector.encode_candidates

    def watch(candidates: Sequence[str]) -> Tensor:
        encoded.extend(candidates)
        return encode(candidates)

    monkeypatch.setattr(selector, "encode_candidates", watch)
    return encoded


@pytest.fixture
def selector(make_selector: MakeSelector) -> BiEncoder:
    return make_selector()


# Made and searched


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_what_is_found_is_what_scoring_all_texts_finds(
    make_selector: MakeSelector, cls: type[BiEncoder], tmp_path: Path
) -> None:
    selector = make_selector(cls)
    built = build_index(selector, given(), tmp_path / "index", batch=7)
    assert (built.added, built.repeated, built.resumed, built.state.left) == (30, 0, 0, 30)
    index, memory = CandidateIndex.open(tmp_path / "index", selector), CandidateSet(selector, TEXTS)
    contexts = [["Do you like the sea?"], ["Hello", "And you?"]]
    scores = selector.score(contexts, TEXTS)
    for found in (index, memory):
        best = found.search(selector.encode_contexts(contexts), 5)
        torch.testing.assert_close(best.scores, scores.topk(5).values, rtol=1e-4, atol=1e-4)
        assert torch.equal(best.ids, scores.topk(5).indices)
        assert [found.text(number) for number in best.ids[0].tolist()] == [TEXTS[n] for n in scores[0].topk(5).indices]
        assert len(found) == 30
        assert found.search(selector.encode_contexts(contexts), 99).ids.shape == (2, 30)


def test_equal_texts_are_one_candidate_with_what_the_first_brought(selector: BiEncoder, tmp_path: Path) -> None:
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


def test_a_set_in_memory_finds_a_repeated_text_once_at_its_first_place(selector: BiEncoder) -> None:
    memory = CandidateSet(selector, ["rain", "sea", " rain", "house"], metadata=[{"n": 0}, None, {"n": 2}, None])
    best = memory.search(selector.encode_contexts([["Hello"]]), 9)
    assert len(memory) == 3 and sorted(best.ids[0].tolist()) == [0, 1, 3]
    assert memory.metadata(0) == {"n": 0} and memory.metadata(1) is None and memory.text(2) == " rain"
    with pytest.raises(ValueError, match="metadata of 1 for 2 texts"):
        CandidateSet(selector, ["a", "b"], metadata=[None])


def test_half_the_space_is_taken_when_it_is_asked_for(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "half", dtype="float16")
    assert (tmp_path / "half" / storage.VECTORS).stat().st_size == 30 * 16 * 2
    best = CandidateIndex.open(tmp_path / "half", selector).search(selector.encode_contexts([["Hello"]]), 3)
    kept = selector.encode_candidates(TEXTS).half().double()
    scores = (kept @ selector.encode_contexts([["Hello"]]).vectors[0, 0].double()).float()
    assert best.scores[0].tolist() == scores.topk(3).values.tolist()
    with pytest.raises(ValueError, match="its vectors are float32, and float16 is asked for"):
        build_index(selector, given(), tmp_path / "whole")
        build_index(selector, given(["new"]), tmp_path / "whole", append=True, dtype="float16")


def test_many_threads_find_the_same(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "index")
    index, contexts = CandidateIndex.open(tmp_path / "index", selector), selector.encode_contexts([["Hello"], ["sea"]])
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(index.search(contexts, 4).ids.tolist())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 8


# Killed and gone on with


class Stopped(BaseException):
    """Ends a build as a kill does: nothing of ours catches it."""


@pytest.mark.parametrize("last", [0, 1, 3])
def test_a_build_that_was_stopped_goes_on_and_comes_to_the_same(
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


def test_other_candidates_do_not_go_on_with_what_was_begun(selector: BiEncoder, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        build_index(selector, given(), tmp_path / "index", batch=8, progress=stop)
    built = build_index(selector, given(TEXTS[1:]), tmp_path / "index", batch=8)
    assert built.resumed == 0
    build_index(selector, given(TEXTS[1:]), tmp_path / "whole", batch=8)
    assert content(tmp_path / "index") == content(tmp_path / "whole")


def test_a_kill_loses_nothing(selector: BiEncoder, tmp_path: Path) -> None:
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


def test_who_reads_while_more_is_added_finds_the_old_index(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(TEXTS[:20]), tmp_path / "index")
    contexts = selector.encode_contexts([["Hello"]])
    opened = CandidateIndex.open(tmp_path / "index", selector)
    wanted = opened.search(contexts, 20).ids.tolist()

    def look(done: int, total: int) -> None:
        again = CandidateIndex.open(tmp_path / "index", selector)
        assert len(again) == 20 and again.search(contexts, 20).ids.tolist() == wanted

    build_index(selector, given(), tmp_path / "index", append=True, batch=3, progress=look)
    assert opened.search(contexts, 99).ids.tolist() == wanted and opened.text(19) == TEXTS[19]
    assert len(CandidateIndex.open(tmp_path / "index", selector)) == 30


# Added to and taken from


def test_adding_encodes_only_what_is_new(selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(selector, given(TEXTS[:10]), tmp_path / "index")
    encoded = watched(selector, monkeypatch)
    built = build_index(selector, given(), tmp_path / "index", append=True, batch=6)
    assert (built.added, built.repeated) == (20, 10) and encoded == TEXTS[10:]
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert [index.text(number) for number in index.numbers()] == TEXTS
    torch.testing.assert_close(index.candidates.vectors, selector.encode_candidates(TEXTS), rtol=1e-4, atol=1e-5)
    assert build_index(selector, given(), tmp_path / "index", append=True).added == 0


def test_those_that_stay_keep_their_numbers(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "index")
    contexts = selector.encode_contexts([["Hello"]])
    order = CandidateIndex.open(tmp_path / "index", selector).search(contexts, 30).ids[0].tolist()
    state = remove_candidates(tmp_path / "index", selector, numbers=[order[0], 4], texts=[f" {TEXTS[7]}\n"])
    gone = {order[0], 4, 7}
    assert state.left == 30 - len(gone)
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert index.search(contexts, 30).ids[0].tolist() == [number for number in order if number not in gone]
    with pytest.raises(IndexError, match="there is no candidate 7"):
        index.metadata(7)
    for numbers, texts in (([7], []), ([30], []), ([], [TEXTS[4]]), ([], ["unheard of"])):
        with pytest.raises(ValueError, match="there is no candidate"):
            remove_candidates(tmp_path / "index", selector, numbers=[1, *numbers], texts=texts)
    assert storage.read_state(tmp_path / "index") == state
    build_index(selector, given(), tmp_path / "index", append=True)  # what was removed comes back at the end
    again = CandidateIndex.open(tmp_path / "index", selector)
    assert [again.text(number) for number in again.numbers()[-len(gone) :]] == [TEXTS[n] for n in sorted(gone)]
    remove_candidates(tmp_path / "index", selector, texts=TEXTS)
    empty = CandidateIndex.open(tmp_path / "index", selector)
    assert len(empty) == 0
    with pytest.raises(ValueError, match="k=1 of 0 candidates"):
        empty.search(contexts, 1)
    assert len(list((tmp_path / "index").glob("removed-*.bin"))) == 1


# Refused


def test_another_model_is_refused_with_both_fingerprints(make_selector: MakeSelector, tmp_path: Path) -> None:
    one, other = make_selector(), make_selector(PolyEncoder)
    build_index(one, given(), tmp_path / "index")
    before = content(tmp_path / "index")
    for call in (
        lambda: CandidateIndex.open(tmp_path / "index", other),
        lambda: build_index(other, given(["new"]), tmp_path / "index", append=True),
        lambda: remove_candidates(tmp_path / "index", other, numbers=[0]),
    ):
        with pytest.raises(ValueError, match="was made with another model") as error:
            call()
        assert one.fingerprint() in str(error.value) and other.fingerprint() in str(error.value)
    assert content(tmp_path / "index") == before


@pytest.mark.parametrize("bf16", ["0", "1"])
def test_an_index_of_one_machine_opens_on_another_and_finds_the_same(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: str
) -> None:
    selector.save_pretrained(tmp_path / "model")
    monkeypatch.setenv("CONVMODEL_BF16", bf16)
    here = Selector.from_pretrained(tmp_path / "model", device="cpu")
    assert isinstance(here, BiEncoder)
    assert here.dtype == "float32"
    build_index(here, given(), tmp_path / "index")
    monkeypatch.setenv("CONVMODEL_BF16", "1" if bf16 == "0" else "0")
    there = Selector.from_pretrained(tmp_path / "model", device="cpu")
    assert isinstance(there, BiEncoder)
    assert there.fingerprint() == here.fingerprint() == selector.fingerprint()
    contexts = [["Hello"], ["Do you like the sea?", "I like the rain."]]
    found = [
        CandidateIndex.open(tmp_path / "index", model).search(model.encode_contexts(contexts), 7)
        for model in (here, there)
    ]
    assert torch.equal(found[0].ids, found[1].ids) and torch.equal(found[0].scores, found[1].scores)


def test_an_index_says_in_which_type_it_was_computed(selector: BiEncoder, tmp_path: Path) -> None:
    selector.save_pretrained(tmp_path / "model")
    low = Selector.from_pretrained(tmp_path / "model", device="cpu", dtype="bfloat16")
    assert low.dtype == "bfloat16" and low.fingerprint() == selector.fingerprint()
    build_index(low, given(), tmp_path / "index")
    assert storage.read_state(tmp_path / "index").model_dtype == "bfloat16"
    CandidateIndex.open(tmp_path / "index", low)
    with pytest.warns(UserWarning, match="computed in bfloat16, and the model is loaded in float32"):
        CandidateIndex.open(tmp_path / "index", selector)
    with pytest.raises(ValueError, match=r"computed in bfloat16.*float32; load it with --dtype bfloat16"):
        build_index(selector, given(["new"]), tmp_path / "index", append=True)


def test_folders_of_something_else_are_left_alone(selector: BiEncoder, tmp_path: Path) -> None:
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


def test_what_is_damaged_is_told(selector: BiEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(selector, given(), folder)
    described = json.loads((folder / storage.INDEX).read_text())
    (folder / storage.INDEX).write_text(json.dumps(described | {"version": 99}))
    with pytest.raises(ValueError, match=r"unsupported index version 99 \(expected 1\)"):
        CandidateIndex.open(folder, selector)
    (folder / storage.INDEX).write_text("{")
    with pytest.raises(ValueError, match=r"index.json: is damaged .* make the index anew"):
        CandidateIndex.open(folder, selector)
    (folder / storage.INDEX).write_text(json.dumps(described))
    os.truncate(folder / storage.VECTORS, 100)
    with pytest.raises(ValueError, match=r"vectors.bin: is cut off \(100 of 1,920 bytes\)"):
        CandidateIndex.open(folder, selector)


def test_vectors_that_are_not_finite_are_refused(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = selector.encode_candidates
    monkeypatch.setattr(selector, "encode_candidates", lambda texts: encode(texts) * 1e6)
    with pytest.raises(ValueError, match=r"the vector of candidate 0, 'I like the sea\.', is not finite in float16"):
        build_index(selector, given(), tmp_path / "index", dtype="float16")


def test_one_process_at_a_time_changes_an_index(selector: BiEncoder, tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(ValueError, match="another process changes this index"):
            build_index(selector, given(), tmp_path / "index")

    assert build_index(selector, given(), tmp_path / "index", progress=second).added == 30


def test_what_another_process_added_before_the_lock_is_not_written_over(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(selector, given(TEXTS[:5]), tmp_path / "index")
    locked = storage.locked

    def slowly(folder: Path) -> Any:
        monkeypatch.setattr(storage, "locked", locked)
        build_index(selector, given(TEXTS[5:9]), folder, append=True)
        return locked(folder)

    monkeypatch.setattr(storage, "locked", slowly)
    with pytest.raises(ValueError, match="another process changed this index just now; give the command once more"):
        build_index(selector, given(TEXTS[9:]), tmp_path / "index", append=True)
    index = CandidateIndex.open(tmp_path / "index", selector)
    assert [index.text(number) for number in index.numbers()] == TEXTS[:9]
    assert build_index(selector, given(TEXTS[9:]), tmp_path / "index", append=True).added == 21


def test_a_model_that_reads_both_together_is_refused(tmp_path: Path) -> None:
    class Both(Selector):
        kind = "cross-encoder"

        def __init__(self) -> None:
            pass

        def options(self) -> dict[str, Any]:
            raise NotImplementedError

        build = score = options  # type: ignore[assignment]

    with pytest.raises(ValueError, match="a cross-encoder reads context and candidate together"):
        build_index(Both(), given(), tmp_path / "index")


# Approximate


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_a_graph_leads_to_nearly_all_of_the_best(
    make_selector: MakeSelector, cls: type[BiEncoder], tmp_path: Path
) -> None:
    pytest.importorskip("usearch")
    selector = make_selector(cls)
    texts = [f"{a} {b} {c}" for a in TEXTS for b in ("sea", "rain", "you", "guitar") for c in "?!.,"]
    built = build_index(selector, given(texts), tmp_path / "index", approximately=True)
    graph = built.state.graph
    assert graph is not None and graph.recall > 0.9 and graph.sample >= 50
    index, contexts = CandidateIndex.open(tmp_path / "index", selector), selector.encode_contexts([["Hello"], ["sea"]])
    exact, near = index.search(contexts, 10, exact=True), index.search(contexts, 10)
    measured = hnsw.mean_recall(near.ids.tolist(), exact.ids.tolist())
    assert measured > 0.8 and (near.scores <= exact.scores).all()
    everything = index.search(contexts, len(index), exact=True)
    scores = dict(zip(everything.ids[0].tolist(), everything.scores[0].tolist(), strict=True))
    assert [scores[number] for number in near.ids[0].tolist()] == near.scores[0].tolist()
    remove_candidates(tmp_path / "index", selector, numbers=near.ids.flatten().tolist())
    after = CandidateIndex.open(tmp_path / "index", selector).search(contexts, 10)
    assert not {*after.ids.flatten().tolist()} & {*near.ids.flatten().tolist()}
    grown = build_index(selector, given(["quite new"]), tmp_path / "index", append=True).state
    assert grown.graph is not None and grown.graph.file != graph.file
    assert [path.name for path in (tmp_path / "index").glob("graph-*")] == [grown.graph.file]
    plain = build_index(selector, given(), tmp_path / "index", append=True, approximately=False).state
    assert plain.graph is None and not list((tmp_path / "index").glob("graph-*"))
    with pytest.raises(ValueError, match="was made without approximate search"):
        CandidateIndex.open(tmp_path / "index", selector).search(contexts, 1, exact=False)


def test_from_a_million_on_search_is_approximate_where_a_context_has_one_vector(
    make_selector: MakeSelector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("usearch")
    monkeypatch.setattr(hnsw, "MANY", 30)
    assert build_index(make_selector(), given(TEXTS[1:]), tmp_path / "few").state.graph is None
    assert build_index(make_selector(), given(), tmp_path / "many").state.graph is not None
    assert build_index(make_selector(PolyEncoder), given(), tmp_path / "poly").state.graph is None


def test_without_its_library_approximate_search_says_how_to_get_it(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(ValueError, match=r'needs usearch; pip install "convmodel\[index\]"'):
        build_index(selector, given(), tmp_path / "index", approximately=True)
    assert not (tmp_path / "index" / storage.INDEX).exists()


# The command


def test_the_command_makes_adds_removes_and_searches(
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
    assert main([*common, "--remove_numbers", "1"]) == 0
    assert capsys.readouterr().out == "index: 1 removed, 2 candidates left\n"
    assert main(common) == 2
    assert "nothing to do; give --candidates" in capsys.readouterr().err
    for idle, told in {
        ("--search", "Hello", "--half"): "--half means nothing without --candidates",
        ("--search", "Hello", "--turns"): "--turns means nothing without a file",
        ("--candidates", "more.txt", "--append", "--k", "3"): "--k means nothing without --search",
        ("--candidates", "more.txt", "--remove_numbers", "2"): "something to remove and something to add",
    }.items():
        assert main([*common, *idle]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["index", "--model", "model", "--output", "new", "--candidates", "none.txt"])
    assert "none.txt: there is no such file" in capsys.readouterr().err and not Path("new").exists()
    with pytest.raises(SystemExit):
        main([*common, "--candidates", "more.txt"])
    assert capsys.readouterr().err.startswith("error: index: is an index already; add to it (--append)")


def test_digests_are_of_texts_without_the_white_space_at_their_ends() -> None:
    assert build._digest(" a\n") == build._digest("a") != build._digest("A")
    assert np.dtype(storage.DIGEST).itemsize == len(build._digest("a"))
