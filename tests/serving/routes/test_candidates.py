"""Candidate search over HTTP."""

from tests.fakes import FakeSearcher
from tests.serving.clients import client_of, service_of


def test_candidates_are_those_that_are_found_best_first() -> None:
    with client_of(service_of(FakeSearcher())) as client:
        found = client.post("/candidates", json={"context": ["a", "b"], "k": 2}).json()["candidates"]
        assert [(each["text"], each["score"], each["number"]) for each in found] == [("rain", 0, 0), ("sun", -1, 1)]
        assert found[0]["metadata"] == {"of": "b"} and found[0]["source"] == "chosen"
        assert client.post("/candidates", json={"context": ["too long"]}).status_code == 400
        assert client.post("/candidates", json={"context": ["a"], "k": 101}).json()["error"]["param"] == "k"
        assert client.get("/about").json()["candidates"] is True


def test_as_many_candidates_as_is_usual_are_no_more_than_the_server_allows() -> None:
    with client_of(service_of(FakeSearcher(), k=2)) as client:
        assert len(client.post("/candidates", json={"context": ["a"]}).json()["candidates"]) == 2
        assert client.post("/candidates", json={"context": ["a"], "k": 3}).json()["error"]["param"] == "k"
