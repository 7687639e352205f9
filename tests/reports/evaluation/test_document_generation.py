"""A report of documents from end to end: each number against a dumber count."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convmodel.metrics.words import words
from convmodel.models.document_model import DocumentModel
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate
from convmodel.reports.evaluation.document_generation import CONTINUATIONS, DOCUMENTS
from convmodel.reports.evaluation.document_metrics import ContinuationResult
from convmodel.reports.evaluation.evaluate import task_of
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.models.documents import RUSSIAN, make
from tests.reports.evaluation.helpers import DOCUMENT_OPTIONS, files_of, some_documents


def test_the_same_model_data_and_options_give_the_same_bytes(
    documents_folder: Path, documents_report: Evaluation, tmp_path: Path
) -> None:
    again = evaluate(
        documents_folder / "model", documents_folder / "documents.jsonl", options=DOCUMENT_OPTIONS, device="cpu"
    )
    documents_report.save(tmp_path / "first")
    again.save(tmp_path / "second")
    first = files_of(tmp_path / "first")
    assert set(first) == {"report.json", "report.html", CONTINUATIONS, DOCUMENTS}
    assert first == files_of(tmp_path / "second")


def test_beginnings_are_continued_greedily_beside_the_gold_continuation(
    document_model: DocumentModel, documents_report: Evaluation
) -> None:
    documents = some_documents()
    lines: Sequence[ContinuationResult] = documents_report.lines[CONTINUATIONS]
    too_short = ("Hello, how are you?", "Too short.")  # after four words, or before
    assert [line.document for line in lines] == [n for n, d in enumerate(documents, 1) if d.body not in too_short]
    for line in lines:
        document = documents[line.document - 1]
        assert len(words(line.prompt)) == 4 and not line.prompt.endswith(" ")
        assert document.body.startswith(line.prompt + line.gold)
        assert (line.prompt + line.gold == document.body) == line.gold_ends or len(line.gold_ids) == 12
        output = document_model.generate(line.prompt, meta=document.meta, do_sample=False, max_new_tokens=12)
        assert line.text == output.texts[0] and line.ids == list(output.ids[0])
        assert len(line.gold_ids) <= 12 and line.gold_ends == (len(line.gold_ids) < 12)
    assert any(line.gold_ends for line in lines) and not all(line.gold_ends for line in lines)
    assert documents_report.report.used["decoding"]["do_sample"] is False
    assert documents_report.report.notes == [
        "Not continued, because nothing follows their first 4 words (--prompt-words): 2 of 13 documents."
    ]


@pytest.mark.parametrize(
    ("decoding", "drawn"),
    [({"top_p": 0.9}, True), ({"do_sample": True}, True), ({"num_beams": 2}, False), ({"max_length": 40}, False)],
)
def test_sampling_options_switch_sampling_on(documents_folder: Path, decoding: dict[str, Any], drawn: bool) -> None:
    options = replace(
        DOCUMENT_OPTIONS, decoding={**decoding, "no_repeat_ngram_size": 3}, limit=3, resamples=5, prompt_words=0
    )
    report = evaluate(documents_folder / "model", documents_folder / "documents.jsonl", options=options, device="cpu")
    assert report.report.used["decoding"]["do_sample"] is drawn
    assert [line.prompt for line in report.lines[CONTINUATIONS]] == [""] * 3
    assert report.report["seq_rep_3"].value == 0


def test_a_plain_gpt2_can_be_evaluated_on_documents(documents_folder: Path, documents_report: Evaluation) -> None:
    plain = documents_folder / "plain"
    data = documents_folder / "documents.jsonl"
    assert task_of(documents_folder / "model").name == "documents" and task_of(plain).name == "writing"
    with pytest.raises(ValueError, match="holds documents; measure this model on them with --as documents"):
        evaluate(plain, data, device="cpu")
    options = replace(DOCUMENT_OPTIONS, meta=False)
    report = evaluate(plain, data, kind="documents", options=options, device="cpu")
    assert {line.meta for line in report.lines[CONTINUATIONS]} == {""}
    compared = report.compared_with(_saved(documents_report, documents_folder))
    assert compared.comparison is not None
    verdicts = {row.name: row.verdict for row in compared.comparison.differences}
    assert "not comparable" not in verdicts.values()
    note = evaluate(plain, data, kind="documents", options=DOCUMENT_OPTIONS, device="cpu").report.notes[-1]
    assert note.startswith("The model has no document.json") and "--no-meta" in note
    with pytest.raises(ValueError, match=r"a model for documents \(document.json\), which cannot be evaluated as one"):
        task_of(documents_folder / "model", "writing")
    with pytest.raises(ValueError, match="there is no kind 'poems'; allowed are choosing, documents, writing"):
        task_of(plain, "poems")


def test_models_of_different_vocabularies_compare_per_word_and_byte_only(
    documents_folder: Path, documents_report: Evaluation, tmp_path: Path
) -> None:
    make(DocumentTokenizer.learn(RUSSIAN, 300)).save_pretrained(tmp_path / "other")
    other = evaluate(tmp_path / "other", documents_folder / "documents.jsonl", options=DOCUMENT_OPTIONS, device="cpu")
    compared = other.compared_with(_saved(documents_report, documents_folder)).comparison
    assert compared is not None
    comparable = {row.name for row in compared.differences if row.verdict != "not comparable"}
    assert comparable == {"perplexity_per_word", "bits_per_byte"}


def test_different_beginnings_are_not_compared(documents_folder: Path, documents_report: Evaluation) -> None:
    other = evaluate(
        documents_folder / "model",
        documents_folder / "documents.jsonl",
        options=replace(DOCUMENT_OPTIONS, prompt_words=3),
        device="cpu",
    )
    with pytest.raises(ValueError, match=r"other beginnings of documents .*with the same --prompt-words and --limit"):
        other.compared_with(_saved(documents_report, documents_folder))


def _saved(documents_report: Evaluation, documents_folder: Path) -> Path:
    documents_report.save(documents_folder / "report")
    return documents_folder / "report"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turns": "all"}, "turns='all' has no effect on a model for documents; leave it out. Such a model follows"),
        ({"bleu_tokenize": "char"}, "bleu_tokenize='char' has no effect"),
        ({"pool": 5}, "pool=5 has no effect"),
        ({"prompt_words": 500}, "no document is longer than 500 words.* use --prompt-words below"),
        ({"prompt_words": -1}, "prompt_words=-1; it must be at least 0"),
        (
            {"decoding": {"self_repetition_penalty": 0.5}},
            "self_repetition_penalty looks at what was said in earlier turns",
        ),
        ({"decoding": {"num_return_sequences": 2, "do_sample": True}}, "one continuation of each document is measured"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_without_effect_are_rejected(documents_folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(
            documents_folder / "model",
            documents_folder / "documents.jsonl",
            options=replace(DOCUMENT_OPTIONS, **options),
            device="cpu",
        )


def test_document_options_are_rejected_for_replies(folder: Path) -> None:
    with pytest.raises(ValueError, match="prompt_words=3 has no effect on a model for writing"):
        evaluate(folder / "model", folder / "talks.jsonl", options=EvaluationOptions(prompt_words=3), device="cpu")
