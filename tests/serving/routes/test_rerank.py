"""Rerank with the official client of Cohere, and in Jina's shape, against the selectors themselves."""

import math
import time
from typing import Any, cast

import cohere
import httpx2 as httpx
import pytest

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.responders import selector_worker
from convmodel.responders.selector_worker import SelectorWorker
from convmodel.serving.routes.rerank import logistic
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.conftest import TEXTS, MakeSelector
from tests.fakes import FakeResponder
from tests.models.selection.convert.test_model import make as make_convert
from tests.models.selection.models import ReadsTogether
from tests.serving.clients import client_of, served, until
from tests.serving.selectors import FakeSelector

RERANK = "/v1/rerank"
BODY: dict[str, Any] = {"model": "model", "query": "a b c", "documents": ["x", "a b", "c a", "a b c"]}


@pytest.fixture(params=["bi-encoder", "poly-encoder", "cross-encoder", "convert"])
def selector(request: pytest.FixtureRequest, make_selector: MakeSelector) -> Any:
    if request.param == "convert":
        return make_convert()
    if request.param == "cross-encoder":
        return make_selector(cast(Any, CrossEncoder), "gpt2", max_context=40, max_candidate=20)
    return make_selector(cast(Any, PolyEncoder)) if request.param == "poly-encoder" else make_selector()


def test_the_official_clients_get_the_order_of_any_selector(selector: Any) -> None:
    scores = selector.score([["Hello"]], TEXTS)[0].tolist()
    expected = sorted(range(len(TEXTS)), key=lambda index: -scores[index])
    service = Service(selector=SelectorWorker(selector))
    with (
        served(service) as address,
        cohere.Client("any", base_url=address) as first,
        cohere.ClientV2("any", base_url=address) as second,
    ):
        one = first.rerank(model="model", query="Hello", documents=TEXTS, return_documents=True)
        two = second.rerank(model="model", query="Hello", documents=TEXTS, top_n=2)
    assert [result.index for result in one.results] == expected
    assert [result.index for result in two.results] == expected[:2]
    for result in one.results:
        assert result.document is not None and result.document.text == TEXTS[result.index]
        assert result.relevance_score == pytest.approx(1 / (1 + math.exp(-scores[result.index])))
    assert one.id and one.meta is not None and one.meta.tokens is not None and (one.meta.tokens.input_tokens or 0) > 8


def test_the_official_client_raises_the_matching_errors() -> None:
    with (
        served(Service(FakeResponder())) as address,
        cohere.ClientV2("any", base_url=address) as client,
        pytest.raises(cohere.NotFoundError) as missing,
    ):
        client.rerank(model="model", query="a", documents=["b"])
    assert "start the server with a selector (--selector DIR" in missing.value.body["message"]
    service = Service(selector=FakeSelector())
    with served(service) as address, cohere.ClientV2("any", base_url=address) as client:
        with pytest.raises(cohere.BadRequestError) as wrong:
            client.rerank(model="model", query="a", documents=[])
        with pytest.raises(cohere.NotFoundError):
            client.rerank(model="rerank-v4", query="a", documents=["b"])
    assert "documents" in wrong.value.body["message"] and wrong.value.body["error"]["code"] == "invalid_value"


def test_results_have_the_fields_of_jina_and_ties_keep_their_order() -> None:
    with client_of(Service(selector=FakeSelector())) as client:
        body = {**BODY, "documents": [{"text": "x"}, "a b", {"text": "c a", "title": "y"}, "a b c"]}
        answer = client.post(RERANK, json={**body, "return_documents": True, "top_n": 3})
    found = answer.json()
    assert [(result["index"], result["score"]) for result in found["results"]] == [(3, 3.0), (1, 2.0), (2, 2.0)]
    assert [result["document"]["text"] for result in found["results"]] == ["a b c", "a b", "c a"]
    assert found["usage"] == {"total_tokens": 11} and found["model"] == "model"
    assert found["meta"]["warnings"] == ["3 tokens of long documents were cut off"]
    assert answer.headers["x-convmodel-ignored"] == "documents[2].title"


def test_the_reranker_ranks_and_the_selector_embeds() -> None:
    class Backwards(FakeSelector):
        def rank(self, query: str, documents: Any) -> Any:
            return super().rank("x", documents)

    service = Service(selector=FakeSelector(), reranker=Backwards())
    with client_of(service) as client:
        assert client.post(RERANK, json={**BODY, "top_n": 1}).json()["results"][0]["index"] == 0
        assert client.get("/about").json()["embeddings"]


def test_a_ranking_ends_at_the_deadline_and_when_the_client_leaves(
    make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector_worker, "BATCH", 1)
    reads = ReadsTogether(make_selector())
    score = reads.score

    def score_slowly(*given: Any) -> Any:
        time.sleep(0.05)
        return score(*given)

    monkeypatch.setattr(reads, "score", score_slowly)
    body = {"query": "a", "documents": ["b"] * 1000}
    service = Service(selector=SelectorWorker(reads), settings=Settings(deadline=0.3))
    with client_of(service) as client:
        assert client.post(RERANK, json=body).json()["error"]["code"] == "deadline"
        until(lambda: service.jobs.limit.open == 0)
    left = Service(selector=SelectorWorker(reads))
    with served(left) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}{RERANK}", json=body, timeout=0.5)
        until(lambda: left.jobs.limit.open == 0)
    assert len(reads.calls) < 100


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"top_n": 0}, 400, "invalid_value"),
        ({"query": " "}, 400, "invalid_value"),
        ({"documents": ["a"] * 6}, 400, "too_much"),
        ({"documents": ["a" * 31]}, 400, "too_much"),
        ({"query": "a" * 31}, 400, "too_much"),
        ({"rank_fields": ["title"]}, 400, "unsupported_parameter"),
        ({"documents": ["fine", "The rain."]}, 400, "content_filter"),
        ({"model": "other"}, 404, "model_not_found"),
    ],
)
def test_wrong_requests_are_refused_in_the_shape_of_cohere(change: dict[str, Any], status: int, code: str) -> None:
    policy = Policy(words=WordList(["rain"]))
    service = Service(selector=FakeSelector(), policy=policy, settings=Settings(texts=5, turn_chars=30))
    with client_of(service) as client:
        answer = client.post(RERANK, json={**BODY, **change})
    assert answer.status_code == status and answer.json()["error"]["code"] == code
    assert answer.json()["message"] == answer.json()["error"]["message"]


def test_the_logistic_function_does_not_overflow() -> None:
    assert [logistic(score) for score in (-1e6, 0.0, 1e6)] == [0.0, 0.5, 1.0]
