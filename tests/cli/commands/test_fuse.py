"""From a text file to a chooser by words, weights that are learned for it, and what loads it."""

import json
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.models.selection.fusion import Fusion
from convmodel.reports.evaluation import evaluate
from convmodel.responders.chooser import Chooser
from convmodel.responders.loading import load_all, open_responder

ANSWERS = [
    "We open at nine.",
    "The museum is closed on Mondays.",
    "A ticket costs five euros.",
    "Dogs stay outside.",
]
QUESTIONS = ["When do you open?", "Is it closed on Mondays?", "How much is a ticket?", "May dogs come in?"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a lexical selector, and conversations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.txt").write_text("\n".join(ANSWERS))
    (tmp_path / "held-out.jsonl").write_text("\n".join(map(json.dumps, zip(QUESTIONS, ANSWERS, strict=True))))
    assert main(["index", "--lexical", "--candidates", "answers.txt", "--output", "museum"]) == 0
    return tmp_path


def test_a_text_file_becomes_a_chooser(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "--lexical", "--output", "museum", "--search", "How much is a ticket?", "--k", "1"]) == 0
    assert capsys.readouterr().out.strip().endswith("2  A ticket costs five euros.")
    with open_responder(selector="museum") as chooser:
        assert isinstance(chooser, Chooser) and chooser.start([QUESTIONS[1]]).result().text == ANSWERS[1]
        best = chooser.start([QUESTIONS[1]]).result().candidates[0]
        assert best.scores["bm25_last_turn"] > 0 and sum(best.scores.values()) == pytest.approx(best.score)
    with load_all(selector="museum") as loaded:
        assert loaded.selector is not None and loaded.responder is not None
        ranked = loaded.selector.rank("A ticket?", ANSWERS).result()
        assert max(range(4), key=ranked.values.__getitem__) == 2 and ranked.tokens == 2 + 18


def test_candidates_are_appended_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.txt").write_text("A guide speaks French.")
    options = ["index", "--lexical", "--output", "museum"]
    assert main([*options, "--candidates", "more.txt", "--append", "--search", "French?", "--k", "1"]) == 0
    assert capsys.readouterr().out.strip().endswith("4  A guide speaks French.")
    assert main([*options, "--remove", "more.txt"]) == 0
    assert Fusion.read(folder / "museum").statistics.texts == 4


def test_weights_are_learned_shown_and_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = evaluate("museum", "held-out.jsonl").report
    assert before.model["kind"] == "lexical"
    assert main(["fuse", "--model", "museum", "--data", "held-out.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert ("bm25_last_turn" in shown and "in 75.0% of these 4 examples" in shown) or "in 100.0% of" in shown
    fusion = Fusion.read(folder / "museum")
    assert fusion.learned_on["data"] == "held-out.jsonl" and "log_length" in fusion.features
    assert fusion.statistics.texts == 4
    after = evaluate("museum", "held-out.jsonl").report
    assert any("learned on held-out.jsonl too" in note for note in after.notes)
    assert evaluate("museum", "held-out.jsonl", fusion=False).report.notes == before.notes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["index", "--output", "museum", "--search", "Hello"], "give either --model DIR, or --lexical"),
        (["index", "--lexical", "--model", "m", "--output", "museum", "--search", "Hello"], "give either --model DIR"),
        (["index", "--lexical", "--half", "--candidates", "answers.txt", "--output", "x"], "--half has no effect with"),
        (["fuse", "--model", "none", "--data", "held-out.jsonl"], "none: no such folder; give the folder of a saved"),
    ],
)
def test_errors_say_what_to_do(options: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(options) == 2
    except SystemExit as end:
        assert end.code == 2
    assert told in capsys.readouterr().err
