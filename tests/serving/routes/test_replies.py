"""Replies and candidate search over HTTP."""

import json

from tests.fakes import FakeResponder, FakeSearcher, some_words
from tests.serving.clients import client_of, events_of, service_of


def said(text: str) -> FakeResponder:
    return FakeResponder(lambda context, seed, options: text)


# Replies


def test_a_reply_is_the_responders_to_context_persona_options_and_seed() -> None:
    fake = FakeResponder()
    body = {
        "context": ["Hello!", "Hi.", "How are you?"],
        "persona": ["i have two cats ."],
        "preset": "bold",
        "options": {"top_k": 7},
        "seed": 3,
    }
    with client_of(service_of(fake)) as client:
        answer = client.post("/replies", json=body).json()
    [request] = fake.requests
    assert list(request["context"]) == body["context"]
    assert list(request["persona"]) == body["persona"]
    assert request["options"] == {"temperature": 1.5, "top_k": 7} and request["seed"] == 3
    used = {**fake.options, "temperature": 1.5, "top_k": 7}
    assert answer["text"] == some_words(request["context"], 3, used)
    assert (answer["seed"], answer["finish"], answer["blocked"]) == (3, "end", None)
    assert answer["reply_tokens"] == len(answer["text"].split()) and answer["window"] == 64


def test_a_drawn_seed_is_returned_and_reproduces_the_reply() -> None:
    with client_of(service_of()) as client:
        first = client.post("/replies", json={"context": ["Hello!"]}).json()
        again = client.post("/replies", json={"context": ["Hello!"], "seed": first["seed"]}).json()
    assert first["text"] == again["text"] and 0 <= first["seed"] < 2**31


def test_the_pieces_of_a_stream_join_to_its_reply() -> None:
    with client_of(service_of(FakeResponder(seconds=0.001), pause=0.0)) as client:
        answer = client.post("/replies", json={"context": ["Hello!"], "seed": 12, "stream": True})
        whole = client.post("/replies", json={"context": ["Hello!"], "seed": 12}).json()
    assert answer.headers["content-type"].startswith("text/event-stream")
    *pieces, (name, last) = events_of(answer.text)
    assert name == "reply" and json.loads(last) == whole
    assert {name for name, _ in pieces} == {"piece"} and len(pieces) > 1
    assert "".join(json.loads(data)["text"] for _, data in pieces) == whole["text"]


def test_line_ends_of_all_kinds_stay_inside_an_event() -> None:
    text = "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0b\x1c data: x\n\nevent: reply"
    with client_of(service_of(said(text))) as client:
        answer = client.post("/replies", json={"context": ["Hello!"], "stream": True})
    pieces = [json.loads(data)["text"] for name, data in events_of(answer.text) if name == "piece"]
    assert "".join(pieces) == text
    assert answer.text.splitlines() == answer.text.split("\n")[:-1]  # of which many clients read the lines


# What is refused


def test_errors_of_the_responder_are_returned_in_its_words() -> None:
    with client_of(service_of()) as client:
        answer = client.post("/replies", json={"context": ["this is too long"]})
        other = client.post("/replies", json={"context": ["a"], "options": {"typical_p": 0.5}})
    assert answer.status_code == other.status_code == 400
    assert "does not fit into the window" in answer.json()["error"]["message"]
    assert "typical_p: there is no such option" in other.json()["error"]["message"]


def test_a_stream_has_no_comments_with_a_keep_alive_of_0() -> None:
    fake = FakeResponder(lambda *_: "one two", seconds=0.2)
    with client_of(service_of(fake, keep_alive=0.0)) as client:
        answer = client.post("/replies", json={"context": ["a"], "stream": True})
    assert ": \n\n" not in answer.text and len(events_of(answer.text)) == 3


# Candidates


def test_candidates_are_returned_best_first() -> None:
    with client_of(service_of(FakeSearcher())) as client:
        candidates = client.post("/candidates", json={"context": ["a", "b"], "k": 2}).json()["candidates"]
        assert [(candidate["text"], candidate["score"], candidate["number"]) for candidate in candidates] == [
            ("rain", 0, 0),
            ("sun", -1, 1),
        ]
        assert candidates[0]["metadata"] == {"of": "b"} and candidates[0]["source"] == "chosen"
        assert client.post("/candidates", json={"context": ["too long"]}).status_code == 400
        assert client.post("/candidates", json={"context": ["a"], "k": 101}).json()["error"]["param"] == "k"
        assert client.get("/about").json()["candidates"] is True


def test_the_default_number_of_candidates_is_lowered_to_the_limit() -> None:
    with client_of(service_of(FakeSearcher(), k=2)) as client:
        assert len(client.post("/candidates", json={"context": ["a"]}).json()["candidates"]) == 2
        assert client.post("/candidates", json={"context": ["a"], "k": 3}).json()["error"]["param"] == "k"


# Groups


def test_a_reply_in_a_group_is_that_to_two_sides() -> None:
    fake = FakeResponder()
    body = {"context": ["Hello", "Hi", "Who comes?"], "speakers": ["Ida", "Tom", "Eve"], "speaker": "Tom"}
    with client_of(service_of(fake)) as client:
        assert client.post("/replies", json=body).status_code == 200
        refused = client.post("/replies", json=body | {"speaker": "Eve"})
        lost = client.post("/replies", json={"context": ["Hello"], "speaker": "Eve"})
    assert list(fake.requests[0]["context"]) == ["Ida: Hello", "Hi", "Eve: Who comes?"]
    assert refused.status_code == 400 and "speaker='Eve' spoke the last turn" in refused.text
    assert lost.status_code == 400 and "without speakers" in lost.text
