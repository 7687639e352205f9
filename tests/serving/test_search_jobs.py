"""Candidate search and the policy."""

from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import new_service
from tests.fakes import FakeSearcher
from tests.serving.clients import client_of


def test_a_policy_sees_what_is_searched_and_found() -> None:
    service = new_service(FakeSearcher(), policy=Policy(words=WordList(["rain"])))
    with client_of(service) as client:
        found = client.post("/candidates", json={"context": ["a"]}).json()["candidates"]
        assert [each["text"] for each in found] == ["sun", "sea"]
        assert client.post("/candidates", json={"context": ["rain?"]}).json() == {"candidates": []}
