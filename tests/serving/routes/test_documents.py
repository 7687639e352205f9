"""Documents and candidates over HTTP, with small models of random weights and with fakes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from convmodel.responders.writer import DocumentWriter
from convmodel.serving.service import Service
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.fakes import FakeDocuments, FakeResponder
from tests.models.documents import RUSSIAN, make
from tests.serving.clients import client_of, events_of, service_of

BODY: dict[str, Any] = {"prompt": "Once", "meta": {"topics": ["cats", "dogs"], "year": 1999}, "seed": 5}


@pytest.fixture
def writer() -> Any:
    with DocumentWriter(make(DocumentTokenizer.learn(RUSSIAN * 3, 360))) as writer:
        yield writer


def test_documents_are_those_of_the_writer(writer: DocumentWriter) -> None:
    options = {"max_new_tokens": 8, "temperature": 0.8}
    with client_of(Service(writer=writer)) as client:
        answer = client.post("/documents", json={**BODY, "n": 3, "options": options}).json()
        about = client.get("/about").json()
    output = writer.start("Once", meta=BODY["meta"], seed=5, options={**options, "num_return_sequences": 3}).result()
    assert [text["text"] for text in answer["texts"]] == output.texts and len(output.texts) == 3
    assert [text["score"] for text in answer["texts"]] == pytest.approx(output.scores, rel=1e-3)
    assert [text["tokens"] for text in answer["texts"]] == list(output.tokens)
    assert (answer["tokens_read"], answer["seed"], answer["prompt"]) == (output.tokens_read, 5, "Once")
    assert answer["meta"] == BODY["meta"] and answer["blocked"] is None
    assert about["documents"] and about["writes"] and not about["chooses"] and "balanced" not in str(about["preset"])


def test_presets_of_documents_are_those_of_the_writer() -> None:
    class Writes(FakeDocuments):
        presets: Mapping[str, Mapping[str, Any]] = {"long": {"max_new_tokens": 30}}

    with client_of(Service(FakeResponder(), writer=Writes())) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        presets = {
            name: schemas[name]["properties"]["preset"]["anyOf"][0]["enum"]
            for name in ("DocumentRequestBody", "ChatRequest")
        }
        for preset in presets["DocumentRequestBody"]:
            assert client.post("/documents", json={"prompt": "a", "preset": preset}).status_code == 200
    assert presets["DocumentRequestBody"] == ["off", "long"] and "long" not in presets["ChatRequest"]


def test_the_pieces_of_a_document_join_to_its_text(writer: DocumentWriter) -> None:
    body = {**BODY, "stream": True, "options": {"max_new_tokens": 12, "min_new_tokens": 12}}
    with client_of(Service(writer=writer)) as client:
        *pieces, (name, last) = events_of(client.post("/documents", json=body).text)
        assert name == "documents"
        assert "".join(json.loads(data)["text"] for _, data in pieces) == json.loads(last)["texts"][0]["text"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"meta": {"": 1}}, None),
        ({"meta": {"a": {"b": 1}}}, None),
        ({"options": {"num_candidates": 3}}, None),
        ({"preset": "shy"}, "preset"),
        ({"prompt": "a" * 20_001}, "prompt"),
    ],
)
def test_an_invalid_document_request_is_an_error(
    change: dict[str, Any], param: str | None, writer: DocumentWriter
) -> None:
    with client_of(Service(writer=writer)) as client:
        answer = client.post("/documents", json={**BODY, **change})
    assert answer.status_code == 400
    assert param is None or answer.json()["error"]["param"] == param


def test_a_missing_ability_is_404(writer: DocumentWriter) -> None:
    chat = {"model": "model", "messages": [{"role": "user", "content": "a"}]}
    with client_of(Service(writer=writer)) as client:
        for path, body in (("/replies", {"context": ["a"]}), ("/v1/chat/completions", chat)):
            assert client.post(path, json=body).json()["error"]["code"] == "no_replies"
        assert client.post("/candidates", json={"context": ["a"]}).json()["error"]["code"] == "no_candidates"
    with client_of(service_of()) as client:
        assert client.post("/documents", json=BODY).json()["error"]["code"] == "no_documents"
