"""A report of documents from end to end: each number against a dumber count."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convmodel.data.document import Document
from convmodel.metrics.words import words
from convmodel.models.document_model import DocumentModel
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate
from convmodel.reports.evaluation.document_generation import CONTINUATIONS, DOCUMENTS
from convmodel.reports.evaluation.document_metrics import ContinuationResult
from convmodel.reports.evaluation.evaluate import task_of
from convmodel.reports.evaluation.likelihood import LOOKBACK, next_token_stats
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from convmodel.tokens.document_windows import DocumentWindows, EncodedDocuments
from tests.models.documents import RUSSIAN, make
from tests.reports.evaluation.helpers import document_model, lines_of, save_document_models, some_documents

OPTIONS = EvaluationOptions(prompt_words=4, resamples=100, decoding={"max_new_tokens": 12})
"""Quick ones."""


@pytest.fixture(scope="module")
def model() -> DocumentModel:
    return document_model()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    save_document_models(folder)
    return folder


@pytest.fixture(scope="module")
def evaluated(here: Path) -> Evaluation:
    return evaluate(here / "model", here / "documents.jsonl", options=OPTIONS, device="cpu")


def guessed(model: DocumentModel, documents: Sequence[Document], overlap: int) -> list[list[int]]:
    """For each document the likeliest id at each predicted token: one window after the other, all logits at once."""
    from convmodel.data.document import format_meta

    encode = model.tokenizer.encode
    encoded = EncodedDocuments([encode(format_meta(d.meta)) for d in documents], [encode(d.body) for d in documents])
    windows = DocumentWindows(encoded, sep_token_id=model.tokenizer.sep_token_id, limits=model.limits(overlap))
    found: list[list[int]] = [[] for _ in documents]
    for document, window in zip(windows.document, windows.read(range(len(windows))), strict=True):
        with torch.inference_mode():
            logits = model.hf_model(torch.tensor(window.input_ids)[None]).logits[0]
        found[document] += [int(logits[t - 1].argmax()) for t, label in enumerate(window.labels) if label >= 0]
    return found


@pytest.mark.parametrize(("overlap", "tokens_per_batch"), [(0, 4096), (10, 64), (64, 200)])
def test_each_token_is_foretold_once_whatever_the_windows_and_batches(
    model: DocumentModel, overlap: int, tokens_per_batch: int
) -> None:
    documents = some_documents()
    read = next_token_stats(model, documents, overlap=overlap, tokens_per_batch=tokens_per_batch)
    scores = model.score([d.body for d in documents], metas=[d.meta for d in documents], overlap=overlap)
    assert [one.nats for one in read] == pytest.approx(scores.nats, rel=1e-5)
    assert [one.tokens for one in read] == scores.tokens
    assert [one.words for one in read] == scores.words and [one.bytes for one in read] == scores.bytes
    assert max(one.tokens for one in read) > 2 * model.n_positions
    for document, one, guesses in zip(documents, read, guessed(model, documents, overlap), strict=True):
        body = model.tokenizer.encode(document.body)
        came = [*body, model.tokenizer.sep_token_id]
        before = [body[max(0, place - LOOKBACK) : place] for place in range(len(came))]
        assert len(guesses) == one.tokens == len(came)
        assert one.right == sum(guess == token for guess, token in zip(guesses, came, strict=True))
        assert one.again == sum(guess in seen for guess, seen in zip(guesses, before, strict=True))
        assert one.gold_again == sum(token in seen for token, seen in zip(came, before, strict=True))
        wrong = zip(guesses, came, before, strict=True)
        assert one.wrongly_again == sum(guess in seen and guess != token for guess, token, seen in wrong)


def test_the_numbers_are_those_of_the_saved_lines(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    read, written = (lines_of(tmp_path / "report" / name) for name in (DOCUMENTS, CONTINUATIONS))

    def total(name: str) -> float:
        return math.fsum(float(str(one[name])) for one in read)

    def seq_rep(n: int, of: str) -> float:
        shares = []
        for line in written:
            ids: Any = line[of]
            grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
            if grams:
                shares.append(1 - len(set(grams)) / len(grams))
        return sum(shares) / len(shares)

    texts = [str(line["text"]) for line in written]
    spoken = [word for text in texts for word in words(text)]
    expected = {
        "perplexity": math.exp(total("nats") / total("tokens")),
        "perplexity_per_word": math.exp(total("nats") / total("words")),
        "bits_per_byte": total("nats") / math.log(2) / total("bytes"),
        "accuracy": total("right") / total("tokens"),
        "rep_128": total("again") / total("tokens"),
        "wrep_128": total("wrongly_again") / total("tokens"),
        "seq_rep_2": seq_rep(2, "ids"),
        "seq_rep_3": seq_rep(3, "ids"),
        "seq_rep_4": seq_rep(4, "ids"),
        "uniq_seq": len({token for line in written for token in line["ids"]}),  # type: ignore[attr-defined]
        "distinct_1": len(set(spoken)) / len(spoken),
        "length": len(spoken) / len(texts),
        "ends": sum(line["finish"] == "end" for line in written) / len(written),
    }
    for name, value in expected.items():
        metric = evaluated.report[name]
        assert metric.value == pytest.approx(value), name
        assert metric.low is not None and metric.high is not None and metric.low <= value <= metric.high, name
    assert evaluated.report["seq_rep_4"].gold == pytest.approx(seq_rep(4, "gold_ids"))
    assert evaluated.report["rep_128"].gold == pytest.approx(total("gold_again") / total("tokens"))
    assert Evaluation.load(tmp_path / "report").report == evaluated.report


def test_the_same_model_data_and_options_give_the_same_bytes(here: Path, evaluated: Evaluation, tmp_path: Path) -> None:
    again = evaluate(here / "model", here / "documents.jsonl", options=OPTIONS, device="cpu")
    for name, each in (("one", evaluated), ("two", again)):
        each.save(tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert set(one) == {"report.json", "report.html", CONTINUATIONS, DOCUMENTS} and one == two


def test_beginnings_are_continued_greedily_beside_how_they_went_on(model: DocumentModel, evaluated: Evaluation) -> None:
    documents = some_documents()
    lines: Sequence[ContinuationResult] = evaluated.lines[CONTINUATIONS]
    over = ("Hello, how are you?", "Too short.")  # after four words, or before
    assert [line.document for line in lines] == [n for n, d in enumerate(documents, 1) if d.body not in over]
    for line in lines:
        document = documents[line.document - 1]
        assert len(words(line.prompt)) == 4 and not line.prompt.endswith(" ")
        assert document.body.startswith(line.prompt + line.gold)
        assert (line.prompt + line.gold == document.body) == line.gold_ends or len(line.gold_ids) == 12
        output = model.generate(line.prompt, meta=document.meta, do_sample=False, max_new_tokens=12)
        assert line.text == output.texts[0] and line.ids == list(output.ids[0])
        assert len(line.gold_ids) <= 12 and line.gold_ends == (len(line.gold_ids) < 12)
    assert any(line.gold_ends for line in lines) and not all(line.gold_ends for line in lines)
    assert evaluated.report.used["decoding"]["do_sample"] is False
    assert evaluated.report.notes == [
        "Not continued, for nothing follows their first 4 words (--prompt_words): 2 of 13 documents."
    ]


@pytest.mark.parametrize(
    ("decoding", "drawn"),
    [({"top_p": 0.9}, True), ({"do_sample": True}, True), ({"num_beams": 2}, False), ({"max_length": 40}, False)],
)
def test_tokens_are_drawn_where_an_option_says_so(here: Path, decoding: dict[str, Any], drawn: bool) -> None:
    options = replace(OPTIONS, decoding={**decoding, "no_repeat_ngram_size": 3}, limit=3, resamples=5, prompt_words=0)
    found = evaluate(here / "model", here / "documents.jsonl", options=options, device="cpu")
    assert found.report.used["decoding"]["do_sample"] is drawn
    assert [one.prompt for one in found.lines[CONTINUATIONS]] == [""] * 3
    assert found.report["seq_rep_3"].value == 0


def test_a_plain_gpt2_is_measured_on_documents_when_asked(here: Path, evaluated: Evaluation) -> None:
    plain, data = here / "plain", here / "documents.jsonl"
    assert task_of(here / "model").name == "documents" and task_of(plain).name == "writing"
    with pytest.raises(ValueError, match="holds documents; measure this model on them with --as documents"):
        evaluate(plain, data, device="cpu")
    options = replace(OPTIONS, meta=False)
    found = evaluate(plain, data, kind="documents", options=options, device="cpu")
    assert {one.meta for one in found.lines[CONTINUATIONS]} == {""}
    compared = found.compared_with(_saved(evaluated, here))
    assert compared.comparison is not None
    verdicts = {one.name: one.verdict for one in compared.comparison.differences}
    assert "not comparable" not in verdicts.values()
    note = evaluate(plain, data, kind="documents", options=OPTIONS, device="cpu").report.notes[-1]
    assert note.startswith("The model has no document.json") and "--no_meta" in note
    with pytest.raises(ValueError, match=r"a model for documents \(document.json\), which cannot be measured as one"):
        task_of(here / "model", "writing")
    with pytest.raises(ValueError, match="there is no kind 'poems'; allowed are choosing, documents, writing"):
        task_of(plain, "poems")


def test_of_another_vocabulary_only_words_and_bytes_compare(here: Path, evaluated: Evaluation, tmp_path: Path) -> None:
    make(DocumentTokenizer.learn(RUSSIAN, 300)).save_pretrained(tmp_path / "other")
    other = evaluate(tmp_path / "other", here / "documents.jsonl", options=OPTIONS, device="cpu")
    compared = other.compared_with(_saved(evaluated, here)).comparison
    assert compared is not None
    comparable = {one.name for one in compared.differences if one.verdict != "not comparable"}
    assert comparable == {"perplexity_per_word", "bits_per_byte"}


def test_other_beginnings_are_not_compared(here: Path, evaluated: Evaluation) -> None:
    other = evaluate(here / "model", here / "documents.jsonl", options=replace(OPTIONS, prompt_words=3), device="cpu")
    with pytest.raises(ValueError, match=r"other beginnings of documents .*with the same --prompt_words and --limit"):
        other.compared_with(_saved(evaluated, here))


def _saved(evaluated: Evaluation, here: Path) -> Path:
    evaluated.save(here / "report")
    return here / "report"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"turns": "all"}, "turns='all' means nothing for a model for documents; leave it out. Such a model follows"),
        ({"bleu_tokenize": "char"}, "bleu_tokenize='char' means nothing"),
        ({"pool": 5}, "pool=5 means nothing"),
        ({"prompt_words": 500}, "no document is longer than 500 words.* use --prompt_words below"),
        ({"prompt_words": -1}, "prompt_words=-1; it must be at least 0"),
        (
            {"decoding": {"self_repetition_penalty": 0.5}},
            "self_repetition_penalty looks at what was said in earlier turns",
        ),
        ({"decoding": {"num_return_sequences": 2, "do_sample": True}}, "one continuation of each document is measured"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_followed_is_told(here: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        evaluate(here / "model", here / "documents.jsonl", options=replace(OPTIONS, **options), device="cpu")


def test_options_of_documents_mean_nothing_for_replies(folder: Path) -> None:
    with pytest.raises(ValueError, match="prompt_words=3 means nothing for a model for writing"):
        evaluate(folder / "model", folder / "talks.jsonl", options=EvaluationOptions(prompt_words=3), device="cpu")
