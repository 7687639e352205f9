"""Operations on conversations, over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from convmodel.serving.conversations.service import Conversations
from convmodel.serving.settings import Settings
from convmodel.serving.store import conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.records import Turn
from tests.fakes import FakeResponder
from tests.serving.talking import Talk, served


def test_undo_removes_the_last_exchange(talk: Talk) -> None:
    id = talk.create(seed=1)
    talk.say(id, "one")
    two = talk.say(id, "two")
    undone = talk.ask(id, "undo", version=5)
    assert undone["taken"] == [two["said"], two["turn"]]
    assert undone["conversation"] == talk.read(id)
    assert (undone["conversation"]["version"], talk.texts(id)) == (6, ["one", "one #1"])
    talk.ask(id, "undo")
    assert talk.texts(id) == []
    assert talk.ask(id, "undo", status=409)["error"]["code"] == "nothing_said"
    assert talk.ask(id, "retry", status=409)["error"]["code"] == "nothing_said"
    assert talk.ask(id, "reply", status=409)["error"]["code"] == "nothing_said"


def test_another_candidate_can_replace_the_last_reply(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=1, options={"num_return_sequences": 3})
    talk.say(id, "one")
    chosen = talk.ask(id, "choose", candidate=2)
    assert (chosen["turns"][1]["text"], chosen["turns"][1]["chosen"]) == ("one #1001", 1)
    assert len(chosen["turns"][1]["reply"]["candidates"]) == 3
    assert talk.read(id) == chosen
    talk.say(id, "two")
    assert responder.requests[-1]["context"] == ("one", "one #1001", "two")
    assert talk.ask(id, "choose", status=400, candidate=4)["error"]["param"] == "candidate"
    imported = talk.create(turns=["Hello", "Hi"])
    assert talk.ask(imported, "choose", status=409, candidate=1)["error"]["code"] == "no_reply"


def test_a_request_with_an_old_version_is_a_conflict_and_changes_nothing(talk: Talk) -> None:
    id = talk.create(turns=["Hello", "Hi"])
    talk.http.patch(f"/conversations/{id}", json={"title": "new"})
    before = talk.read(id)
    bodies: dict[str, dict[str, Any]] = {"turns": {"text": "x"}, "retry": {}, "undo": {}, "choose": {"candidate": 1}}
    for action, body in bodies.items():
        assert talk.ask(id, action, status=409, version=1, **body)["error"]["code"] == "conflict"
    stale = talk.http.patch(f"/conversations/{id}", json={"title": "x", "version": 1})
    assert (stale.status_code, stale.json()["error"]["type"]) == (409, "conflict_error")
    assert talk.read(id) == before
    assert talk.say(id, "x", version=2)["version"] == 4


def test_one_idempotency_key_creates_one_conversation(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(key: str, status: int = 201, **body: Any) -> Any:
        answer = talk.http.post("/conversations", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == status, answer.text
        return answer.json()

    first = make("a", title="Tea", turns=["Hello", "Hi"])
    assert make("a", title="Tea", turns=["Hello", "Hi"]) == first
    assert make("a", 409, title="Coffee")["error"]["code"] == "idempotency"
    assert make("b", title="Tea", turns=["Hello", "Hi"])["id"] != first["id"]
    assert talk.say(first["id"], "Hello", status=409, key="a")["error"]["code"] == "idempotency"

    find_existing = Conversations._created_before
    keys_looked_up: list[str] = []

    async def miss_the_first_time(self: Conversations, owner: str, key: str, digest: str) -> Any:
        keys_looked_up.append(key)
        return None if len(keys_looked_up) == 1 else await find_existing(self, owner, key, digest)

    with monkeypatch.context() as patch:  # two at the same time: neither finds the record of the other
        patch.setattr(Conversations, "_created_before", miss_the_first_time)
        assert make("a", title="Tea", turns=["Hello", "Hi"]) == first
    assert len(talk.http.get("/conversations").json()["conversations"]) == 2
    talk.http.delete(f"/conversations/{first['id']}")
    assert make("a", title="Tea", turns=["Hello", "Hi"])["id"] != first["id"]


def test_a_change_of_settings_returns_turns_stored_meanwhile(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    id = talk.create(turns=["a", "b"])
    check = talk.conversations._check

    async def while_a_reply_is_stored(*args: Any) -> None:
        more = ConversationUpdate(turns_version=1, add=[Turn(3, "user", "c", 0), Turn(4, "model", "d", 0)])
        await talk.store.awrite(conversations.change, "local", id, more)
        await check(*args)

    monkeypatch.setattr(talk.conversations, "_check", while_a_reply_is_stored)
    changed = talk.http.patch(f"/conversations/{id}", json={"title": "Tea"}).json()
    assert (changed["version"], changed["title"]) == (3, "Tea")
    assert [turn["text"] for turn in changed["turns"]] == ["a", "b", "c", "d"]


def test_deletion_removes_a_conversation_from_the_files_of_the_store(talk: Talk, tmp_path: Path) -> None:
    id = talk.create(title="my secret")
    other = talk.create(turns=["stays", "here"])
    talk.say(id, "my secret", key="my secret")
    assert any(b"my secret" in file.read_bytes() for file in tmp_path.iterdir())
    assert talk.http.delete(f"/conversations/{id}").status_code == 204
    assert not any(b"my secret" in file.read_bytes() for file in tmp_path.iterdir())
    assert talk.http.get(f"/conversations/{id}").status_code == 404
    assert talk.http.delete(f"/conversations/{id}").status_code == 404
    assert talk.texts(other) == ["stays", "here"]
    assert talk.http.delete("/conversations").status_code == 204
    assert talk.http.get("/conversations").json()["conversations"] == []
    assert not any(b"stays" in file.read_bytes() for file in tmp_path.iterdir())


def test_values_over_a_limit_are_rejected_with_the_name_of_the_field(responder: FakeResponder, address: str) -> None:
    settings = Settings(turns=4, turn_chars=10, persona_chars=10)
    with served(responder, address, settings=settings) as talk:
        for param, body in [
            ("turns", {"turns": ["x"] * 5}),
            ("turns[1]", {"turns": ["x", "y" * 11]}),
            ("persona", {"persona": ["12345", "678901"]}),
            ("options.num_return_sequences", {"options": {"num_return_sequences": 9}}),
            ("title", {"title": "x" * 501}),
            ("seed", {"seed": -1}),
        ]:
            refused = talk.http.post("/conversations", json=body)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        id = talk.create(turns=["a", "b", "c"])
        assert talk.say(id, "x" * 9, status=400, join=True)["error"]["param"] == "text"
        talk.ask(id, "reply")
        assert talk.say(id, "x", status=400)["error"]["code"] == "too_much"
        assert len(talk.texts(id)) == 4
