"""Search in shards equals sorting the scores of all candidates, by vectors, by words and by a fused score."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.candidates import CandidateText
from convmodel.data.step_runner import Step, run_on_ray
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.fused_selector import SearchingSelector
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.index.lexical_folder import lexical_selector, save_lexical
from convmodel.models.selection.index.shards import IndexSource, search_in_workers, search_shard, split_rows
from convmodel.models.selection.search.exact import merge
from tests.models.selection.fusions import fused
from tests.models.selection.index.candidates import TEXTS, given

CONTEXTS = [["Do you like the sea?"], ["Hello", "I play the guitar."], ["rain"]]


def backwards(steps: Sequence[Step]) -> Iterator[None]:
    for step in reversed(steps):
        step()
        yield


def by_hand(selector: SearchingSelector, index: CandidateIndex, k: int) -> list[list[int]]:
    """The numbers of the candidates with the k highest scores, of equal ones the smaller number first."""
    numbers = index.numbers()
    scores = selector.score(CONTEXTS, [[index.text(number) for number in numbers]] * len(CONTEXTS))
    ranked = [sorted(zip((-row.double()).tolist(), numbers, strict=True)) for row in scores]
    return [[number for _, number in row[:k]] for row in ranked]


def make_index(name: str, selector: BiEncoder, folder: Path) -> SearchingSelector:
    """Make an index in `folder`, of which two candidates are removed; return its selector."""
    if name == "lexical":
        build_index(lexical_selector(folder), given(), folder)
        chosen: SearchingSelector = save_lexical(folder)
    else:
        chosen = fused(selector) if name == "fused" else selector
        build_index(chosen, given(), folder)
    remove_candidates(folder, chosen, numbers=[0, 11])
    return chosen


def test_ranges_of_rows_are_all_rows_once() -> None:
    for count, shards in ((30, 7), (3, 5), (1, 1), (8, 8)):
        ranges = split_rows(count, shards)
        assert [row for rows in ranges for row in rows] == list(range(count)) and all(map(len, ranges))


@pytest.mark.parametrize("name", ["dense", "lexical", "fused"])
@pytest.mark.parametrize("shards", [1, 4, 30])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_merged_shards_have_the_best_candidates(
    selector: BiEncoder, tmp_path: Path, name: str, shards: int, k: int
) -> None:
    chosen = make_index(name, selector, tmp_path / "index")
    index = CandidateIndex.open(tmp_path / "index", chosen)
    contexts = chosen.encode_contexts(CONTEXTS)
    best = merge([search_shard(index, contexts, k, rows) for rows in split_rows(index.state.count, shards)], k)
    whole = index.search(contexts, k)
    assert best.ids.tolist() == whole.ids.tolist() and best.scores.tolist() == whole.scores.tolist()
    if name == "lexical":
        assert best.ids.tolist() == by_hand(chosen, index, k)


def test_stored_questions_count_in_their_shard(selector: BiEncoder, tmp_path: Path) -> None:
    answers = [CandidateText(text, {"question": f"Why {text}"} if n % 3 else None) for n, text in enumerate(TEXTS)]
    chosen = fused(selector)
    build_index(chosen, answers, tmp_path / "index")
    index = CandidateIndex.open(tmp_path / "index", chosen)
    contexts = chosen.encode_contexts([["Why I like the sea?"]])
    best = merge([search_shard(index, contexts, 6, rows) for rows in split_rows(30, 7)], 6)
    assert best.ids.tolist() == index.search(contexts, 6).ids.tolist()


def test_shards_of_other_processes_are_merged(selector: BiEncoder, tmp_path: Path) -> None:
    selector.save_pretrained(tmp_path / "model")
    build_index(selector, given(), tmp_path / "index")
    before = sorted((tmp_path / "index").iterdir())
    source = IndexSource(str(tmp_path / "index"), str(tmp_path / "model"), "cpu")
    best = search_in_workers(source, CONTEXTS, 4, shards=3, run_all=backwards)
    whole = CandidateIndex.open(tmp_path / "index", selector).search(selector.encode_contexts(CONTEXTS), 4)
    assert best.ids.tolist() == whole.ids.tolist() and best.scores.tolist() == whole.scores.tolist()
    assert sorted((tmp_path / "index").iterdir()) == before
    with pytest.raises(ValueError, match="k=0 of 30 candidates"):
        search_in_workers(source, CONTEXTS, 0, shards=3, run_all=backwards)


@pytest.mark.slow
def test_the_command_searches_in_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text("\n".join(TEXTS))
    assert main(["index", "--lexical", "--output", "index", "--candidates", "c.txt"]) == 0
    capsys.readouterr()
    found = []
    for workers in ([], ["--workers", "2"]):
        assert main(["index", "--lexical", "--output", "index", "--search", "the sea", "--k", "3", *workers]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] and len(found[0].splitlines()) == 3


@pytest.mark.slow
def test_ray_finds_the_same_candidates(selector: BiEncoder, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    chosen = make_index("lexical", selector, tmp_path / "index")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        run_all = partial(run_on_ray, address=None, computing=True)
        best = search_in_workers(IndexSource(str(tmp_path / "index"), None), CONTEXTS, 5, shards=3, run_all=run_all)
    finally:
        ray.shutdown()
    index = CandidateIndex.open(tmp_path / "index", chosen)
    assert best.ids.tolist() == by_hand(chosen, index, 5)
