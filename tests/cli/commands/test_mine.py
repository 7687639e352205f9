"""The command `mine`: the distractors that it writes, and its errors."""

import json
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.selection_example import read_selection_examples
from convmodel.models.selection.selector_files import HOMES
from tests.reports.evaluation.selectors import HOME, WordCounter, small_selector, small_tokenizer


def test_each_response_gets_responses_of_other_conversations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_selector().save_pretrained(tmp_path / "selector")
    conversations = [[f"Hello {n}", f"Reply {n}"] for n in range(6)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, conversations)))
    paths = ["--model", str(tmp_path / "selector"), "--input", str(tmp_path / "in.jsonl")]
    output = str(tmp_path / "out.jsonl")
    assert main(["mine", *paths, "--output", output, "--negatives", "3", "--device", "cpu"]) == 0
    assert f"{output}: 6 examples written, each with up to 3 distractors" in capsys.readouterr().out
    examples = read_selection_examples(output)
    replies = {reply for _, reply in conversations}
    assert [example.response for example in examples] == [reply for _, reply in conversations]
    for example in examples:
        assert len(set(example.distractors)) == 3 and set(example.distractors) <= replies - {example.response}


def test_a_cross_encoder_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, home in HOME.items():
        monkeypatch.setitem(HOMES, kind, home)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    WordCounter(small_tokenizer()).save_pretrained(tmp_path / "words")
    with pytest.raises(SystemExit) as end:
        main(["mine", "--model", str(tmp_path / "words"), "--input", "in.jsonl", "--output", "out.jsonl"])
    assert end.value.code == 2
    assert (
        "a cross-encoder reads context and candidate together and cannot search; mine with a model"
        in capsys.readouterr().err
    )
