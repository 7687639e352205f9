"""Plans of replies: their turn, options and seed."""

from tests.fakes import FakeResponder
from tests.serving.talking import Talk


def test_the_responder_gets_the_conversation_settings_overridden_by_those_of_the_request(
    talk: Talk, responder: FakeResponder
) -> None:
    id = talk.create(persona=["I am old."], preset="bold", options={"top_k": 7})
    talk.say(id, "one", options={"top_k": 8}, seed=3)
    assert responder.requests[-1]["persona"] == ("I am old.",)
    assert responder.requests[-1]["options"] == {"temperature": 1.5, "top_k": 8}
    assert responder.requests[-1]["seed"] == 3
    talk.say(id, "two")
    assert responder.requests[-1]["options"] == {"temperature": 1.5, "top_k": 7}
    assert responder.requests[-1]["seed"] != 3
    talk.say(id, "three", preset="sober")
    assert responder.requests[-1]["options"] == {"do_sample": False}
    changed = talk.http.patch(f"/conversations/{id}", json={"persona": [], "preset": None, "options": {"top_k": 9}})
    assert (changed.json()["preset"], changed.json()["options"]) == (None, {"top_k": 9})
    talk.say(id, "four")
    assert responder.requests[-1]["persona"] == ()
    assert responder.requests[-1]["options"] == {"top_k": 9}


def test_a_retry_replaces_the_last_reply_and_uses_another_seed(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=5)
    talk.say(id, "Hello")
    assert talk.ask(id, "retry")["turn"]["text"] == "Hello #6"
    again = talk.ask(id, "retry")
    assert again["turn"]["text"] == "Hello #7"
    assert "said" not in again
    assert talk.texts(id) == ["Hello", "Hello #7"]
    assert talk.ask(id, "retry", seed=90)["turn"]["text"] == "Hello #90"
    free = talk.create()
    first = talk.say(free, "Hello")["reply"]["seed"]
    assert talk.ask(free, "retry")["reply"]["seed"] != first


def test_a_waiting_turn_can_be_replied_to_or_extended(talk: Talk) -> None:
    id = talk.create(turns=["Hello"], seed=1)
    assert talk.read(id)["waiting"] is True
    assert talk.say(id, "more", status=409)["error"]["code"] == "waiting"
    assert talk.ask(id, "reply")["turn"]["text"] == "Hello #1"
    assert talk.ask(id, "reply", status=409)["error"]["code"] == "not_waiting"
    id = talk.create(turns=["Hello", "Hi", "How"], seed=1)
    joined = talk.say(id, "are you?", join=True)
    assert (joined["said"]["number"], joined["said"]["text"]) == (3, "How\nare you?")
    assert talk.texts(id) == ["Hello", "Hi", "How\nare you?", "Hello|Hi|How\nare you? #1"]
    assert talk.say(id, "next", join=True)["said"]["number"] == 5


def test_a_request_that_the_responder_rejects_stores_nothing(talk: Talk) -> None:
    id = talk.create(turns=["Hello", "Hi"])
    before = talk.read(id)
    assert "does not fit" in talk.say(id, "too long", status=400)["error"]["message"]
    assert talk.say(id, "x", status=400, options={"temperature": 0.001})["error"]["param"] == "options.temperature"
    assert talk.say(id, "x", status=400, options={"min_p": 0.5})["error"]["code"] == "invalid_value"
    assert talk.say(id, "x", status=400, preset="none")["error"]["param"] == "preset"
    assert talk.say(id, " ", status=400)["error"]["param"] == "text"
    assert talk.say(id, "x", status=400, mode="y")["error"]["param"] == "mode"
    assert talk.read(id) == before
