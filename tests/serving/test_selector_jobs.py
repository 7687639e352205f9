"""Embeddings and rankings as jobs: the policy, the counted tokens, and requests that end early."""

import asyncio
from collections.abc import Sequence

import pytest

from convmodel.responders.protocol import ReplyHandle
from convmodel.responders.text_selector import TextScores, TextValues
from convmodel.serving.errors import APIError
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.selector_jobs import SelectorService
from convmodel.serving.service import Service
from tests.serving.selectors import FakeSelector, FakeValues


def rank(service: Service, query: str, documents: Sequence[str]) -> TextScores:
    assert isinstance(service.rankings, SelectorService)
    rankings = service.rankings

    async def run() -> TextScores:
        job = await rankings.rank(query, documents, owner="")
        return await job.result()

    return asyncio.run(run())


@pytest.mark.parametrize(("query", "documents"), [("rain", ["sun"]), ("sun", ["sun", "rain"])])
def test_a_text_that_the_policy_blocks_is_an_error(query: str, documents: list[str]) -> None:
    service = Service(selector=FakeSelector(), policy=Policy(words=WordList(["rain"])))
    with pytest.raises(APIError, match="the policy of this server blocks a text") as error:
        rank(service, query, documents)
    assert (error.value.status, error.value.code) == (400, "content_filter")
    policy = Policy(words=WordList(["rain"]), sides=["output"])
    outputs = Service(selector=FakeSelector(), policy=policy)
    assert len(rank(outputs, query, documents).values) == len(documents)


def test_a_request_that_was_ended_early_is_an_error() -> None:
    class Ends(FakeSelector):
        def rank(self, query: str, documents: Sequence[str]) -> ReplyHandle[TextScores]:
            return FakeValues(TextValues([1.0], 5))

    service = Service(reranker=Ends())
    with pytest.raises(APIError, match="cancelled before it was complete") as error:
        rank(service, "a", ["b", "c"])
    assert error.value.status == 503 and service.jobs.limit.open == 0
    assert b'convmodel_tokens_total{kind="read"} 5.0' in service.metrics.render()
