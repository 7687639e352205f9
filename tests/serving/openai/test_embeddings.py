"""Embeddings with the official client, against the selectors themselves."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from convmodel.responders.selector_worker import SelectorWorker
from convmodel.serving.openai.embeddings import encode_base64
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.conftest import TEXTS, MakeSelector
from tests.fakes import FakeResponder
from tests.models.selection.convert.test_model import make as make_convert
from tests.serving.clients import client_of, error_of, served
from tests.serving.selectors import FakeSelector

EMBEDDINGS = "/v1/embeddings"
BODY: dict[str, Any] = {"model": "model", "input": ["a b", "c"]}


@pytest.fixture(params=["bi-encoder", "scaled bi-encoder", "convert"])
def selector(request: pytest.FixtureRequest, make_selector: MakeSelector) -> Any:
    if request.param == "convert":
        return make_convert()
    return make_selector(cosine_scale=20.0) if "scaled" in request.param else make_selector()


@pytest.fixture
def client(selector: Any) -> Iterator[openai.OpenAI]:
    with (
        served(Service(selector=SelectorWorker(selector))) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def test_the_official_client_gets_the_vectors_of_the_selector(client: openai.OpenAI, selector: Any) -> None:
    answer = client.embeddings.create(model="model", input=TEXTS)  # the client asks for base64
    expected = selector.encode_candidates(TEXTS).numpy()
    vectors = np.array([item.embedding for item in answer.data])
    assert np.allclose(vectors, expected, atol=1e-6) and [item.index for item in answer.data] == [0, 1, 2, 3]
    assert (answer.object, answer.model, answer.data[0].object) == ("list", "model", "embedding")
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    plain = client.embeddings.create(
        model="model", input=TEXTS[0], encoding_format="float", dimensions=expected.shape[1]
    )
    assert np.allclose(plain.data[0].embedding, expected[0], atol=1e-5) and len(plain.data) == 1


def test_the_product_of_a_query_and_a_document_is_the_score(client: openai.OpenAI, selector: Any) -> None:
    query = client.embeddings.create(model="model", input="Hello", extra_body={"input_type": "query"})
    documents = client.embeddings.create(model="model", input=TEXTS, extra_body={"input_type": "document"})
    products = np.array([item.embedding for item in documents.data]) @ np.array(query.data[0].embedding)
    scale = getattr(selector, "cosine_scale", None) or 1.0
    assert np.allclose(products * scale, selector.score([["Hello"]], TEXTS)[0].numpy(), atol=1e-4)


def test_other_dimensions_token_ids_and_other_models_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="dimensions=3; the vectors have") as error:
        client.embeddings.create(model="model", input="a", dimensions=3)
    assert (error.value.param, error.value.code) == ("dimensions", "unsupported_parameter")
    for ids in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="token ids are not supported; send texts"):
            client.embeddings.create(model="model", input=ids)
    with pytest.raises(openai.NotFoundError, match="this server has 'model'"):
        client.embeddings.create(model="text-embedding-3-small", input="a")


def test_base64_is_little_endian_float32() -> None:
    assert encode_base64([1.0, -2.0]) == "AACAPwAAAMA="


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (Service(FakeResponder()), "nothing embeds texts here; start the server with a bi-encoder or ConveRT"),
        (Service(selector=FakeSelector(None)), "no single vector for a text; start the server with a bi-encoder"),
        (Service(reranker=FakeSelector()), "nothing embeds texts here"),
    ],
)
def test_a_server_without_vectors_says_how_to_start_one(service: Service, message: str) -> None:
    with client_of(service) as client:
        error = error_of(client.post(EMBEDDINGS, json=BODY), 404)
        about = client.get("/about").json()
    assert message in error["message"] and error["code"] == "no_embeddings" and not about["embeddings"]


def test_limits_policy_metrics_and_ignored_fields_are_those_of_other_routes() -> None:
    policy = Policy(words=WordList(["rain"]))
    service = Service(selector=FakeSelector(), policy=policy, settings=Settings(texts=2, turn_chars=9, open_per_user=1))
    with client_of(service) as client:
        assert error_of(client.post(EMBEDDINGS, json={**BODY, "input": ["a"] * 3}), 400)["code"] == "too_much"
        assert error_of(client.post(EMBEDDINGS, json={**BODY, "input": "a" * 10}), 400)["param"].startswith("input")
        error = error_of(client.post(EMBEDDINGS, json={**BODY, "input": ["sun", "Rain!"]}), 400)
        assert error["code"] == "content_filter"
        answer = client.post(EMBEDDINGS, json={**BODY, "store": True, "user": "anna"})
        metrics = client.get("/metrics").text
        about = client.get("/about").json()
    assert [item["embedding"] for item in answer.json()["data"]] == [[3.0, 2.0], [1.0, 1.0]]
    assert answer.headers["x-convmodel-ignored"] == "store" and about["embeddings"] and about["limits"]["texts"] == 2
    assert 'convmodel_tokens_total{kind="read"} 3.0' in metrics and service.jobs.limit.open == 0
