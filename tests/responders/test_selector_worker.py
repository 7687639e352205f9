"""Embedding and ranking by a selector, against the selector's own methods."""

import threading
from typing import Any, cast

import numpy as np
import pytest

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.responders import selector_worker
from convmodel.responders.selector_worker import SelectorWorker
from tests.conftest import PIECES, TEXTS, MakeSelector
from tests.models.selection.convert.test_model import make as make_convert
from tests.models.selection.models import ReadsTogether


@pytest.fixture(params=["bi-encoder", "gpt2 bi-encoder", "convert"])
def selector(request: pytest.FixtureRequest, make_selector: MakeSelector) -> Any:
    if request.param == "convert":
        return make_convert()
    return make_selector(BiEncoder, "gpt2" if "gpt2" in request.param else "bert")


def test_vectors_are_those_of_the_selector_in_any_batch(selector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_worker, "BATCH", 3)
    worker = SelectorWorker(selector)
    expected = selector.encode_candidates(TEXTS).numpy()
    output = worker.embed(TEXTS).result()
    assert np.allclose(output.values, expected, atol=1e-5) and worker.dimensions == expected.shape[1]
    queries = worker.embed(TEXTS, queries=True).result()
    contexts = selector.encode_contexts([[text] for text in TEXTS]).vectors[:, 0].numpy()
    assert np.allclose(queries.values, contexts, atol=1e-5)


def test_scores_are_those_of_any_selector(make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_worker, "BATCH", 3)
    cross = make_selector(cast(Any, CrossEncoder), "gpt2", max_context=40, max_candidate=20)
    for selector in (make_selector(), make_selector(cast(Any, PolyEncoder)), cross, make_convert()):
        output = SelectorWorker(selector).rank("Hello", TEXTS).result()
        assert np.allclose(output.values, selector.score([["Hello"]], TEXTS)[0].numpy(), atol=1e-4), selector.kind


def test_tokens_are_counted_as_the_model_reads_them(make_selector: MakeSelector) -> None:
    selector = make_selector(max_candidate=6, max_context=7)
    worker = SelectorWorker(selector)
    lengths = [len(ids) for ids in selector.tokenizer.encode_many(TEXTS)]
    documents, queries = worker.embed(TEXTS).result(), worker.embed(TEXTS, queries=True).result()
    assert (documents.tokens, documents.tokens_dropped) == (4 * len(TEXTS), sum(lengths) - 4 * len(TEXTS))
    assert (queries.tokens, queries.tokens_dropped) == (5 * len(TEXTS), sum(lengths) - 5 * len(TEXTS))
    ranked = worker.rank("Hello", TEXTS).result()
    assert ranked.tokens == documents.tokens + len(selector.tokenizer.encode_many(["Hello"])[0])
    assert ranked.tokens_dropped == documents.tokens_dropped


def test_odd_texts_have_vectors(selector: Any) -> None:
    texts = [piece for piece in PIECES if piece.strip()]
    output = SelectorWorker(selector).embed(texts).result()
    assert len(output.values) == len(texts) and np.isfinite(output.values).all()


def test_a_cancelled_request_ends_before_its_next_batch(
    make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector_worker, "BATCH", 1)
    reads = ReadsTogether(make_selector())
    worker = SelectorWorker(reads)
    ranking = worker.rank("Hello", TEXTS)
    score = reads.score

    def score_and_cancel(*given: Any) -> Any:
        ranking.cancel()
        return score(*given)

    monkeypatch.setattr(reads, "score", score_and_cancel)
    assert len(ranking.result().values) == 1 and worker.load.running == worker.load.waiting == 0
    assert list(ranking) == []


def test_other_requests_begin_between_two_batches(make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_worker, "BATCH", 1)
    worker = SelectorWorker(make_selector())
    expected = worker.embed(TEXTS).result().values
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(worker.embed(TEXTS).result())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.allclose(result.values, expected) for result in results)


def test_selectors_without_one_vector_for_a_text_embed_nothing(make_selector: MakeSelector) -> None:
    for selector in (make_selector(cast(Any, PolyEncoder)), ReadsTogether(make_selector())):
        worker = SelectorWorker(selector)
        assert worker.dimensions is None
        with pytest.raises(ValueError, match="has no single vector for a text"):
            worker.embed(["a"])
