"""Candidate search and the policy."""

from collections.abc import Sequence

from convmodel.responders.protocol import Candidate
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import new_service
from tests.fakes import FakeResponder
from tests.serving.clients import client_of


class FakeSearcher(FakeResponder):
    """A fake that can search, too."""

    searches = True

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        if any("too long" in turn for turn in context):
            raise ValueError("the context does not fit")
        texts = ["rain", "sun", "sea"]
        return tuple(Candidate(text, -n, "chosen", n, {"of": context[-1]}) for n, text in enumerate(texts))[:k]


def test_a_policy_sees_what_is_searched_and_found() -> None:
    service = new_service(FakeSearcher(), policy=Policy(words=WordList(["rain"])))
    with client_of(service) as client:
        found = client.post("/candidates", json={"context": ["a"]}).json()["candidates"]
        assert [each["text"] for each in found] == ["sun", "sea"]
        assert client.post("/candidates", json={"context": ["rain?"]}).json() == {"candidates": []}
