import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx2 as httpx
import pytest

from convmodel.responders.protocol import Candidate
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import new_service
from convmodel.serving.settings import Settings
from tests.fakes import FakeResponder, some_words
from tests.serving.clients import client_of, events_of, served, service_of, until


def said(text: str) -> FakeResponder:
    return FakeResponder(lambda context, seed, options: text)


# Replies


def test_a_reply_is_what_the_responder_says_to_the_context_the_persona_the_options_and_the_seed() -> None:
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
    [asked] = fake.asked
    assert list(asked["context"]) == body["context"]
    assert list(asked["persona"]) == body["persona"]
    assert asked["options"] == {"temperature": 1.5, "top_k": 7} and asked["seed"] == 3
    used = {**fake.options, "temperature": 1.5, "top_k": 7}
    assert answer["text"] == some_words(asked["context"], 3, used)
    assert (answer["seed"], answer["finish"], answer["blocked"]) == (3, "end", None)
    assert answer["reply_tokens"] == len(answer["text"].split()) and answer["window"] == 64


def test_a_seed_that_is_drawn_is_told_and_gives_the_same_reply_again() -> None:
    with client_of(service_of()) as client:
        first = client.post("/replies", json={"context": ["Hello!"]}).json()
        again = client.post("/replies", json={"context": ["Hello!"], "seed": first["seed"]}).json()
    assert first["text"] == again["text"] and 0 <= first["seed"] < 2**31


def test_pieces_of_a_stream_are_together_the_reply_that_it_ends_with() -> None:
    with client_of(service_of(FakeResponder(seconds=0.001), pause=0.0)) as client:
        answer = client.post("/replies", json={"context": ["Hello!"], "seed": 12, "stream": True})
        whole = client.post("/replies", json={"context": ["Hello!"], "seed": 12}).json()
    assert answer.headers["content-type"].startswith("text/event-stream")
    *pieces, (name, last) = events_of(answer.text)
    assert name == "reply" and json.loads(last) == whole
    assert {name for name, _ in pieces} == {"piece"} and len(pieces) > 1
    assert "".join(json.loads(data)["text"] for _, data in pieces) == whole["text"]


def test_line_breaks_and_what_ends_lines_elsewhere_stay_inside_of_an_event() -> None:
    text = "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0b\x1c data: x\n\nevent: reply"
    with client_of(service_of(said(text))) as client:
        answer = client.post("/replies", json={"context": ["Hello!"], "stream": True})
    pieces = [json.loads(data)["text"] for name, data in events_of(answer.text) if name == "piece"]
    assert "".join(pieces) == text
    assert answer.text.splitlines() == answer.text.split("\n")[:-1]  # of which many clients read the lines


def test_candidates_come_with_scores_and_a_score_without_bounds_is_null() -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        body = {"context": ["Hello!"], "seed": 1, "options": {"num_return_sequences": 3}}
        answer = client.post("/replies", json=body).json()
    assert [each["score"] for each in answer["candidates"]] == [-1.0, -2.0, -3.0]
    from convmodel.serving.schemas import CandidateBody
    from convmodel.serving.sse import dump

    shown = json.loads(dump(CandidateBody.of(Candidate("x", float("-inf"), scores={"written": float("nan")}))))
    assert shown["score"] is None and shown["scores"] == {"written": None}


def test_the_persona_the_preset_and_the_options_of_the_server_count_where_a_request_says_nothing() -> None:
    fake = FakeResponder()
    service = new_service(fake, persona=("i am old .",), preset="bold", options={"top_k": 3})
    with client_of(service) as client:
        for body in ({}, {"preset": "off"}, {"preset": "sober"}, {"persona": [], "options": {"top_k": None}}):
            assert client.post("/replies", json={"context": ["Hello!"], **body}).status_code == 200
        about = client.get("/about").json()
    asked = [(list(each["persona"]), each["options"]) for each in fake.asked]
    usual = {"temperature": 1.5, "top_k": 3}
    assert asked == [(["i am old ."], usual), (["i am old ."], {}), (["i am old ."], {"do_sample": False}), ([], usual)]
    assert about["preset"] == "bold" and about["options"]["top_k"] == 3 and about["options"]["temperature"] == 1.5


# What is refused


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "context"),
        ({"context": []}, "context"),
        ({"context": "Hello!"}, "context"),
        ({"context": [" \n"]}, "context.0"),
        ({"context": ["a", 5]}, "context.1"),
        ({"context": ["a"] * 4}, "context"),
        ({"context": ["a", "b" * 101]}, "context.1"),
        ({"context": ["a"], "persona": ["b" * 40, "c" * 40]}, "persona"),
        ({"context": ["a"], "preset": "shy"}, "preset"),
        ({"context": ["a"], "options": {"temperature": 0}}, "options.temperature"),
        ({"context": ["a"], "options": {"temperature": "1"}}, "options.temperature"),
        ({"context": ["a"], "options": {"heat": 1}}, "options.heat"),
        ({"context": ["a"], "options": {"max_new_tokens": 513}}, "options.max_new_tokens"),
        ({"context": ["a"], "options": {"num_return_sequences": 9}}, "options.num_return_sequences"),
        ({"context": ["a"], "options": {"num_beams": 2}}, "options.num_beams"),
        ({"context": ["a"], "seed": -1}, "seed"),
        ({"context": ["a"], "seed": True}, "seed"),
        ({"context": ["a"], "stream": "yes"}, "stream"),
        ({"context": ["a"], "colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_name_of_the_field(body: dict[str, Any], param: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake, turns=3, turn_chars=100, persona_chars=60)) as client:
        answer = client.post("/replies", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == param and error["message"] and error["code"]
    assert not fake.asked


def test_what_the_responder_cannot_follow_is_told_in_its_words() -> None:
    with client_of(service_of()) as client:
        answer = client.post("/replies", json={"context": ["this is too long"]})
        other = client.post("/replies", json={"context": ["a"], "options": {"typical_p": 0.5}})
    assert answer.status_code == other.status_code == 400
    assert "does not fit into the window" in answer.json()["error"]["message"]
    assert "typical_p: there is no such option" in other.json()["error"]["message"]


def test_a_model_with_too_much_to_do_is_429_with_the_seconds_to_wait() -> None:
    fake = FakeResponder(capacity=0)
    with client_of(service_of(fake)) as client:
        for stream in (False, True):
            answer = client.post("/replies", json={"context": ["a"], "stream": stream})
            assert answer.status_code == 429 and answer.json()["error"]["code"] == "queue_full"
            assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_defect_is_500_and_tells_nothing_but_the_request(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeResponder(error=RuntimeError("/secret/path of 'what anna said'"), error_after=0)
    with client_of(service_of(fake)) as client:
        answer = client.post("/replies", json={"context": ["a"]})
        streamed = client.post("/replies", json={"context": ["a"], "stream": True})
    assert answer.status_code == 500
    [(name, data)] = events_of(streamed.text)
    assert name == "error"
    for text in (answer.text, data):
        assert "secret" not in text and "anna" not in text and "Traceback" not in text
        assert json.loads(text)["error"] == {
            "message": "something went wrong in the server; its log says what, under the id of X-Request-Id",
            "type": "server_error",
            "param": None,
            "code": "internal",
        }
    assert "fakes.py" in caplog.text and "RuntimeError" in caplog.text
    assert "secret" not in caplog.text and "anna" not in caplog.text
    for id in (answer.headers["x-request-id"], streamed.headers["x-request-id"]):
        assert f"request {id}: RuntimeError" in caplog.text


def test_a_reply_that_takes_too_long_is_ended_and_told() -> None:
    fake = FakeResponder(hold=1)
    with client_of(service_of(fake, deadline=0.1)) as client:
        answer = client.post("/replies", json={"context": ["a"], "seed": 4})  # of several words
        streamed = client.post("/replies", json={"context": ["a"], "seed": 4, "stream": True})
        until(lambda: client.app.state.service.jobs.limit.open == 0)  # type: ignore[attr-defined]
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"
    assert [name for name, _ in events_of(streamed.text)] == ["piece", "error"]


def test_what_takes_too_long_to_begin_is_told_and_its_place_comes_back() -> None:
    begin = threading.Event()

    class Slow(FakeResponder):
        def start(self, *args: Any, **others: Any) -> Any:
            begin.wait(20)
            return super().start(*args, **others)

    with client_of(service_of(Slow(), deadline=0.1)) as client:
        asked = time.monotonic()
        answer = client.post("/replies", json={"context": ["a"]})
        assert time.monotonic() - asked < 10
        begin.set()
        until(lambda: client.app.state.service.jobs.limit.open == 0)  # type: ignore[attr-defined]
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"


def test_a_stream_is_silent_where_nobody_wants_to_hear_that_it_is_still_there() -> None:
    fake = FakeResponder(lambda *_: "one two", seconds=0.2)
    with client_of(service_of(fake, keep_alive=0.0)) as client:
        answer = client.post("/replies", json={"context": ["a"], "stream": True})
    assert ": \n\n" not in answer.text and len(events_of(answer.text)) == 3


def test_what_is_usual_is_no_more_than_the_server_allows() -> None:
    class Talkative(FakeResponder):
        options: Mapping[str, Any] = {**FakeResponder.options, "max_new_tokens": 128, "num_return_sequences": 3}
        presets: Mapping[str, Mapping[str, Any]] = {"long": {"max_new_tokens": 300}, "short": {"max_new_tokens": 20}}

    fake = Talkative()
    with client_of(service_of(fake, new_tokens=50, n=2)) as client:
        for preset in (None, "long", "short"):
            client.post("/replies", json={"context": ["a"], "preset": preset})
        client.post("/replies", json={"context": ["a"], "options": {"max_new_tokens": 40}})
        about = client.get("/about").json()["options"]
    used = [{**fake.options, **asked["options"]} for asked in fake.asked]
    assert [each["max_new_tokens"] for each in used] == [50, 50, 20, 40]
    assert {each["num_return_sequences"] for each in used} == {2}
    assert (about["max_new_tokens"], about["num_return_sequences"]) == (50, 2)


# Leaving


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(stream: bool) -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake)
    with served(service) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({"context": ["a"], "stream": stream})
        head = ["POST /replies HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode())
            until(fake.held.is_set, seconds=20)
        until(lambda: service.jobs.limit.open == 0, seconds=20)
    [replying] = fake.running
    assert replying._cancelled.is_set()


def test_places_are_counted_for_all_and_each_is_freed_once() -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake, max_running=2, max_waiting=1)
    found: list[int] = []

    def ask(address: str) -> None:
        found.append(httpx.post(f"{address}/replies", json={"context": ["a"]}, timeout=20).status_code)

    with served(service) as address:
        threads = [threading.Thread(target=ask, args=(address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: service.jobs.limit.open == 3, seconds=20)
        assert httpx.post(f"{address}/replies", json={"context": ["a"]}).status_code == 429
        assert httpx.get(f"{address}/health").status_code == 200
        fake.go_on.set()
        for thread in threads:
            thread.join()
        assert found == [200, 200, 200] and service.jobs.limit.open == 0


# The policy


def policed(fake: FakeResponder, *words: str, **settings: Any) -> Any:
    return new_service(fake, policy=Policy(words=WordList(words), say="No."), settings=Settings(**settings))


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_policy_does_not_let_in_is_never_asked(stream: bool) -> None:
    fake = FakeResponder()
    with client_of(policed(fake, "rain")) as client:
        for body in ({"context": ["RAIN!"]}, {"context": ["a"], "persona": ["i like rain"]}):
            answer = client.post("/replies", json={**body, "stream": stream})
            reply = json.loads(events_of(answer.text)[-1][1]) if stream else answer.json()
            assert (reply["text"], reply["finish"]) == ("No.", "filtered")
            assert reply["blocked"] == {"side": "input", "by": "words", "label": None}
            assert len(reply["candidates"]) == 1
        assert 'convmodel_blocked_total{by="words",side="input"} 2.0' in client.get("/metrics").text
    assert not fake.asked


def test_what_a_policy_does_not_let_out_leaves_in_no_form() -> None:
    fake = said("it may rain")
    with client_of(policed(fake, "rain")) as client:
        whole = client.post("/replies", json={"context": ["a"]})
        streamed = client.post("/replies", json={"context": ["a"], "stream": True})
    for text in (whole.text, streamed.text):
        assert "rain" not in text and '"side": "output"' in text
    assert [json.loads(data)["text"] for _, data in events_of(streamed.text)] == ["No.", "No."]


def test_another_candidate_is_taken_before_nothing_is_said() -> None:
    texts = {1: "rain", 1001: "sun", 2001: "rain or sun"}
    fake = FakeResponder(lambda context, seed, options: texts[seed])
    with client_of(policed(fake, "rain")) as client:
        body = {"context": ["a"], "seed": 1, "options": {"num_return_sequences": 3}}
        reply = client.post("/replies", json=body).json()
    assert reply["text"] == "sun" and [each["text"] for each in reply["candidates"]] == ["sun"]
    assert reply["blocked"] is None and reply["finish"] == "end"
