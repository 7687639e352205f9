"""Texts for a file of prompts: their form, their seeds, and going on after a kill."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convmodel.__main__ import main
from convmodel.cli.bulk.job import DocumentJob
from convmodel.cli.bulk.journal import partial
from convmodel.cli.bulk.runner import run_job
from convmodel.data.document import read_documents
from convmodel.data.options import ReadOptions
from convmodel.models.document_model import DocumentModel
from convmodel.responders.writer import DocumentWriter
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS
from tests.models.documents import make

SKIP = ReadOptions(on_error="skip")

PROMPTS: list[Any] = [
    {"prompt": "Hello, how", "meta": "cats", "id": 7},
    {"meta": ["rain", "sea"]},
    {"prompt": "Where do you"},
    {"prompt": ""},
    {"prompt": "I live in a", "meta": {"topic": "house"}},
]
QUICK = ["--set", "max_new_tokens=8", "--set", "min_new_tokens=2", "--set", "do_sample=true", "--dtype", "float32"]


@pytest.fixture(scope="module")
def model() -> DocumentModel:
    return make(DocumentTokenizer.learn(TEXTS * 3, 320), ending=1.5)


@pytest.fixture
def here(model: DocumentModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model of documents, the same without its document.json, and prompts."""
    for name in ("doc", "plain"):
        model.save_pretrained(tmp_path / name)
    (tmp_path / "plain" / "document.json").unlink()
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in PROMPTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path


def generate(*more: str, model: str = "doc", output: str = "out.jsonl") -> int:
    return main(["generate", "--model", model, "--input", "in.jsonl", "--output", output, *QUICK, *more])


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_prompt_gets_a_line_that_is_a_document_too(
    here: Path, model: DocumentModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate() == 0
    lines = lines_of(here / "out.jsonl")
    assert set(lines[0]) == {"body", "prompt", "meta", "id", "texts", "finishes", "seed", "tokens_dropped"}
    for request, line in zip(PROMPTS, lines, strict=True):
        prompt, meta = request.get("prompt", ""), request.get("meta")
        assert (line["prompt"], line.get("meta"), line.get("id")) == (prompt, meta, request.get("id"))
        options = {"max_new_tokens": 8, "min_new_tokens": 2, "do_sample": True}
        output = model.generate(prompt, meta=meta, seed=line["seed"], **options)
        assert (line["texts"], line["finishes"]) == (output.texts, list(output.finishes))
        assert line["body"] == prompt + line["texts"][0]
    assert [document.body for document in read_documents(here / "out.jsonl")] == [line["body"] for line in lines]
    out = capsys.readouterr().out
    assert "in.jsonl: JSON Lines, 5 prompts, 3 with meta" in out and "out.jsonl: 5 lines; " in out
    assert out.rstrip().endswith("prompts/s")


def test_several_texts_are_written_with_their_scores(here: Path) -> None:
    assert generate("--num-replies", "3", "--preset", "lively") == 0
    for line in lines_of(here / "out.jsonl"):
        assert len(line["texts"]) == len(line["scores"]) == len(line["finishes"]) == 3
        assert all(score < 0 and score == round(score, 4) for score in line["scores"])


def test_texts_depend_neither_on_the_concurrency_nor_on_a_kill(here: Path) -> None:
    assert generate(output="whole") == 0
    assert generate("--concurrency", "1", output="one") == 0
    whole = (here / "whole").read_bytes()
    assert (here / "one").read_bytes() == whole
    (here / "whole").rename(partial(here / "whole"))
    partial(here / "whole").write_bytes(whole[: len(whole) * 2 // 3])  # a line is torn
    assert generate(output="whole") == 0
    assert (here / "whole").read_bytes() == whole and not partial(here / "whole").exists()
    assert generate("--seed", "1", output="other") == 0
    assert (here / "other").read_bytes() != whole


def test_an_output_with_other_settings_is_not_continued(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate() == generate() == 0
    with pytest.raises(SystemExit):
        generate("--seed", "1")
    assert "is there already, made in another way" in capsys.readouterr().err
    about = json.loads((here / "out.jsonl.about.json").read_text())
    assert set(about) == {"named", "input", "model", "options", "seed"}


def test_a_plain_gpt2_continues_prompts_with_as_documents(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        generate(model="plain")
    assert "in.jsonl:1: " in capsys.readouterr().err
    assert generate("--as", "documents", model="plain") == 0
    assert generate(output="same.jsonl") == 0
    assert (here / "out.jsonl").read_bytes() == (here / "same.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--persona", "I am Ann."], "--persona does not apply to a document model (doc); leave it out"),
        (["--selector", "s"], "--selector does not apply"),
        (["--reranker", "likelihood"], "--reranker does not apply"),
        (["--num-candidates", "2"], "--num-candidates does not apply"),
        (["--last"], "--last does not apply"),
        (["--preset", "wild"], "there is no preset 'wild'; there are balanced, careful, lively"),
        (["--set", "self_repetition_penalty=0.5"], "self_repetition_penalty looks at what was said in earlier turns"),
        (["--set", "max_new_tokens=63"], "max_new_tokens=63"),
        (["--format", "python"], "--format python: allowed are jsonl, text, hub"),
    ],
    ids=" ".join,
)
def test_an_error_is_one_line(here: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str) -> None:
    with pytest.raises(SystemExit) as end:
        generate(*more)
    err = capsys.readouterr().err
    assert end.value.code == 2 and told in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (here / "out.jsonl").exists()


def test_a_rejected_prompt_is_an_error_or_a_line_without_a_text(here: Path, model: DocumentModel) -> None:
    with DocumentWriter(model) as writer:
        long = {"max_new_tokens": 50}  # no room beside a long meta
        lines = [{"prompt": "a", "meta": "cats and dogs and rain and sea " * 9}, {"prompt": "b"}]
        (here / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        job = DocumentJob(writer, input="in.jsonl", output="out.jsonl", digest="m", options=long)
        with pytest.raises(
            ValueError, match=r"in.jsonl: prompt 1: .* leaves no room .*, or continue with on_error='skip'"
        ):
            run_job(job)
        result = run_job(replace(job, read_options=SKIP, overwrite=True))
    first, second = lines_of(here / "out.jsonl")
    assert (result.lines, result.failed) == (2, 1) and "; 1 without a text" in result.summary("x")
    assert set(first) == {"prompt", "meta", "error"} and second["prompt"] == "b" and "texts" in second


def test_a_chat_with_a_document_model_is_an_error_with_a_remedy(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chat", "--model", "doc"])
    assert end.value.code == 2
    assert "doc: holds a model that writes documents, not one that replies; " in (err := capsys.readouterr().err)
    assert "use it to continue prompts (python -m convmodel generate)" in err
