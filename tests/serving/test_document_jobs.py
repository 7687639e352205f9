"""Documents and the policy."""

from typing import Any

import pytest

from convmodel.responders.writer import DocumentWriter
from convmodel.serving.safety.policy import Policy
from convmodel.serving.service import Service
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.models.documents import RUSSIAN, make
from tests.serving.clients import client_of

BODY: dict[str, Any] = {"prompt": "Once", "meta": {"topics": ["cats", "dogs"], "year": 1999}, "seed": 5}


@pytest.fixture
def writer() -> Any:
    with DocumentWriter(make(DocumentTokenizer.learn(RUSSIAN * 3, 360))) as writer:
        yield writer


def test_a_policy_checks_prompts_metadata_and_texts(writer: DocumentWriter) -> None:
    body = {**BODY, "n": 2, "options": {"max_new_tokens": 8}}
    with client_of(Service(writer=writer)) as client:
        texts = [text["text"] for text in client.post("/documents", json=body).json()["texts"]]

    class OneText:
        def __contains__(self, text: str) -> bool:
            return text == texts[1] or "cats" in text

    policy = Policy(words=OneText())  # type: ignore[arg-type]
    with client_of(Service(writer=writer, policy=policy)) as client:
        blocked = client.post("/documents", json=body).json()
        shown = client.post("/documents", json={**body, "meta": None, "prompt": "cats"}).json()
        assert blocked["texts"] == shown["texts"] == [] and blocked["blocked"]["side"] == "input"
    policy = Policy(words=OneText(), sides=["output"])  # type: ignore[arg-type]
    with client_of(Service(writer=writer, policy=policy)) as client:
        answer = client.post("/documents", json=body).json()
    assert [text["text"] for text in answer["texts"]] == texts[:1] and answer["blocked"]["side"] == "output"
