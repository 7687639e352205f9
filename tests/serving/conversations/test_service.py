from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from convmodel.data.conversation import Conversation, read_conversations
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.sessions import Sessions
from convmodel.serving.safety import Policy, WordList
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store, conversations, keys
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.records import ConversationHeader, ConversationSettings, Turn
from tests.fakes import FakeResponder
from tests.serving.talking import Talk, events, served


def echo(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """Everything that a reply depends on."""
    return f"{'|'.join(context)} #{seed}"


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder(echo)


@pytest.fixture
def talk(responder: FakeResponder, address: str) -> Iterator[Talk]:
    with served(responder, address) as talk:
        yield talk


# Talking


def test_a_turn_and_its_reply_are_kept(talk: Talk) -> None:
    id = talk.create(seed=5)
    said = talk.say(id, "Hello")
    assert (said["said"]["number"], said["said"]["speaker"], said["said"]["text"]) == (1, "user", "Hello")
    assert (said["turn"]["number"], said["turn"]["speaker"], said["turn"]["text"]) == (2, "model", "Hello #5")
    assert said["turn"]["reply"] == said["reply"]
    assert (said["version"], said["waiting"], said["reply"]["seed"]) == (3, False, 5)
    again = talk.say(id, "And you?")
    assert again["turn"]["text"] == "Hello|Hello #5|And you? #5"
    read = talk.read(id)
    assert read["turns"] == [said["said"], said["turn"], again["said"], again["turn"]]
    assert (read["version"], read["waiting"]) == (5, False)


def test_a_stream_says_first_what_is_stored_then_the_pieces_and_then_what_the_json_would_be(talk: Talk) -> None:
    id = talk.create(seed=5)
    with talk.http.stream("POST", f"/conversations/{id}/turns", json={"text": "Hello", "stream": True}) as answer:
        found = list(events(answer.iter_lines()))
    names = [name for name, _ in found]
    assert names == ["said", *["piece"] * (len(found) - 2), "reply"]
    turns = talk.read(id)["turns"]
    assert found[0][1] == {"turn": turns[0], "version": 2}
    assert "".join(value["text"] for name, value in found if name == "piece") == "Hello #5"
    assert found[-1][1] == {
        **{"said": turns[0], "turn": turns[1], "reply": turns[1]["reply"], "version": 3, "waiting": False}
    }


def test_settings_of_a_conversation_reach_the_responder_and_those_of_a_request_go_before(
    talk: Talk, responder: FakeResponder
) -> None:
    id = talk.create(persona=["I am old."], preset="bold", options={"top_k": 7})
    talk.say(id, "one", options={"top_k": 8}, seed=3)
    assert responder.asked[-1]["persona"] == ("I am old.",)
    assert responder.asked[-1]["options"] == {"temperature": 1.5, "top_k": 8}
    assert responder.asked[-1]["seed"] == 3
    talk.say(id, "two")
    assert responder.asked[-1]["options"] == {"temperature": 1.5, "top_k": 7}
    assert responder.asked[-1]["seed"] != 3
    talk.say(id, "three", preset="sober")
    assert responder.asked[-1]["options"] == {"do_sample": False}
    changed = talk.http.patch(f"/conversations/{id}", json={"persona": [], "preset": None, "options": {"top_k": 9}})
    assert (changed.json()["preset"], changed.json()["options"]) == (None, {"top_k": 9})
    talk.say(id, "four")
    assert responder.asked[-1]["persona"] == ()
    assert responder.asked[-1]["options"] == {"top_k": 9}


def test_a_retry_takes_the_place_of_the_last_reply_and_has_another_seed(talk: Talk, responder: FakeResponder) -> None:
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


def test_undo_takes_back_the_last_exchange(talk: Talk) -> None:
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


def test_another_candidate_of_the_last_reply_can_be_what_was_said(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=1, options={"num_return_sequences": 3})
    talk.say(id, "one")
    chosen = talk.ask(id, "choose", candidate=2)
    assert (chosen["turns"][1]["text"], chosen["turns"][1]["chosen"]) == ("one #1001", 1)
    assert len(chosen["turns"][1]["reply"]["candidates"]) == 3
    assert talk.read(id) == chosen
    talk.say(id, "two")
    assert responder.asked[-1]["context"] == ("one", "one #1001", "two")
    assert talk.ask(id, "choose", status=400, candidate=4)["error"]["param"] == "candidate"
    imported = talk.create(turns=["Hello", "Hi"])
    assert talk.ask(imported, "choose", status=409, candidate=1)["error"]["code"] == "no_reply"


def test_a_turn_that_waits_is_replied_to_or_joined(talk: Talk) -> None:
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


def test_a_reply_without_text_is_no_turn(address: str) -> None:
    texts = iter(["", "Hi", " ", "Ho"])
    with served(FakeResponder(lambda *_: next(texts)), address) as talk:
        id = talk.create()
        said = talk.say(id, "Hello", key="k")
        assert (said["turn"], said["waiting"], said["version"]) == (None, True, 2)
        assert talk.texts(id) == ["Hello"]
        assert talk.say(id, "Hello", key="k")["turn"]["text"] == "Hi"
        retried = talk.ask(id, "retry")
        assert (retried["turn"], retried["waiting"]) == (None, False)
        assert talk.texts(id) == ["Hello", "Hi"]
        talk.ask(id, "retry")
        assert talk.texts(id) == ["Hello", "Ho"]


def test_what_the_responder_cannot_follow_stores_nothing(talk: Talk) -> None:
    id = talk.create(turns=["Hello", "Hi"])
    before = talk.read(id)
    assert "does not fit" in talk.say(id, "too long", status=400)["error"]["message"]
    assert talk.say(id, "x", status=400, options={"temperature": 0.001})["error"]["param"] == "options.temperature"
    assert talk.say(id, "x", status=400, options={"min_p": 0.5})["error"]["code"] == "invalid_value"
    assert talk.say(id, "x", status=400, preset="none")["error"]["param"] == "preset"
    assert talk.say(id, " ", status=400)["error"]["param"] == "text"
    assert talk.say(id, "x", status=400, mode="y")["error"]["param"] == "mode"
    assert talk.read(id) == before


def test_what_goes_wrong_while_replying_leaves_a_turn_that_waits(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=1)
    responder.error = RuntimeError("/secret/path")
    failed = talk.http.post(f"/conversations/{id}/turns", json={"text": "Hello"})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    with talk.http.stream("POST", f"/conversations/{id}/reply", json={"stream": True}) as answer:
        assert [name for name, _ in events(answer.iter_lines())] == ["error"]
    assert talk.read(id)["waiting"] is True
    responder.error = None
    assert talk.ask(id, "reply")["turn"]["text"] == "Hello #1"


def test_when_too_many_replies_are_open_nothing_is_stored_and_it_says_when_to_come_again(address: str) -> None:
    with served(FakeResponder(capacity=0), address) as talk:
        id = talk.create()
        full = talk.http.post(f"/conversations/{id}/turns", json={"text": "Hello"})
        assert (full.status_code, int(full.headers["Retry-After"]) > 0) == (429, True)
        assert talk.texts(id) == []


# Conflicts


def test_an_old_version_is_a_conflict_and_nothing_happens(talk: Talk) -> None:
    id = talk.create(turns=["Hello", "Hi"])
    talk.http.patch(f"/conversations/{id}", json={"title": "new"})
    before = talk.read(id)
    bodies: dict[str, dict[str, Any]] = {"turns": {"text": "x"}, "retry": {}, "undo": {}, "choose": {"candidate": 1}}
    for what, body in bodies.items():
        assert talk.ask(id, what, status=409, version=1, **body)["error"]["code"] == "conflict"
    stale = talk.http.patch(f"/conversations/{id}", json={"title": "x", "version": 1})
    assert (stale.status_code, stale.json()["error"]["type"]) == (409, "conflict_error")
    assert talk.read(id) == before
    assert talk.say(id, "x", version=2)["version"] == 4


def test_a_change_in_the_last_moment_is_a_conflict(talk: Talk, responder: FakeResponder) -> None:
    """Somebody else, on another server, is quicker between the reading and the writing."""
    id = talk.create(turns=["Hello", "Hi"])
    begin = responder.start

    def quicker(*args: Any, **options: Any) -> Any:
        responder.start = begin  # type: ignore[method-assign]
        statement = text("update convmodel_conversations set version = version + 1, turns_version = version + 1")
        talk.store.write(lambda connection: connection.execute(statement))
        return begin(*args, **options)

    for what in ("turns", "retry"):
        responder.start = quicker  # type: ignore[method-assign]
        body = {"text": "x"} if what == "turns" else {}
        assert talk.ask(id, what, status=409, **body)["error"]["code"] == "conflict"
        responder.start = quicker  # type: ignore[method-assign]
        with talk.http.stream("POST", f"/conversations/{id}/{what}", json={**body, "stream": True}) as answer:
            if what == "turns":
                assert answer.status_code == 409
            else:
                [(name, error)] = [each for each in events(answer.iter_lines()) if each[0] != "piece"]
                assert (name, error["error"]["code"]) == ("error", "conflict")
    assert talk.texts(id) == ["Hello", "Hi"]


# Idempotency


def test_the_same_request_again_is_answered_as_before_and_adds_nothing(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create()
    first = talk.say(id, "Hello", key="a")
    assert talk.say(id, "Hello", key="a") == first
    with talk.http.stream(
        "POST",
        f"/conversations/{id}/turns",
        json={"text": "Hello", "stream": True},
        headers={"Idempotency-Key": "a"},
    ) as answer:
        found = list(events(answer.iter_lines()))
    assert found[0] == ("said", {"turn": first["said"], "version": 2})
    assert found[1:] == [("piece", {"text": first["turn"]["text"]}), ("reply", first)]
    retried = talk.ask(id, "retry", key="b")
    assert talk.ask(id, "retry", key="b") == retried
    assert len(responder.asked) == 2
    assert talk.texts(id) == ["Hello", retried["turn"]["text"]]


def test_a_conversation_is_made_once_for_a_key(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(key: str, status: int = 201, **body: Any) -> Any:
        answer = talk.http.post("/conversations", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == status, answer.text
        return answer.json()

    first = make("a", title="Tea", turns=["Hello", "Hi"])
    assert make("a", title="Tea", turns=["Hello", "Hi"]) == first
    assert make("a", 409, title="Coffee")["error"]["code"] == "idempotency"
    assert make("b", title="Tea", turns=["Hello", "Hi"])["id"] != first["id"]
    assert talk.say(first["id"], "Hello", status=409, key="a")["error"]["code"] == "idempotency"

    made, looked = Conversations._created_before, list[str]()

    async def too_early(self: Conversations, owner: str, key: str, digest: str) -> Any:
        looked.append(key)
        return None if len(looked) == 1 else await made(self, owner, key, digest)

    with monkeypatch.context() as patch:  # two at the same moment: neither finds the other's
        patch.setattr(Conversations, "_created_before", too_early)
        assert make("a", title="Tea", turns=["Hello", "Hi"]) == first
    assert len(talk.http.get("/conversations").json()["conversations"]) == 2
    talk.http.delete(f"/conversations/{first['id']}")
    assert make("a", title="Tea", turns=["Hello", "Hi"])["id"] != first["id"]


def test_a_change_of_settings_tells_the_turns_that_were_stored_meanwhile(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = talk.create(turns=["a", "b"])
    check = talk.conversations._check

    async def while_a_reply_is_stored(*given: Any) -> None:
        more = ConversationUpdate(turns_version=1, add=[Turn(3, "user", "c", 0), Turn(4, "model", "d", 0)])
        await talk.store.awrite(conversations.change, "local", id, more)
        await check(*given)

    monkeypatch.setattr(talk.conversations, "_check", while_a_reply_is_stored)
    changed = talk.http.patch(f"/conversations/{id}", json={"title": "Tea"}).json()
    assert (changed["version"], changed["title"]) == (3, "Tea")
    assert [turn["text"] for turn in changed["turns"]] == ["a", "b", "c", "d"]


def test_another_request_under_the_same_key_is_refused(talk: Talk) -> None:
    id, other = talk.create(), talk.create()
    talk.say(id, "Hello", key="a")
    assert talk.say(id, "Hullo", status=409, key="a")["error"]["code"] == "idempotency"
    assert talk.say(other, "Hello", status=409, key="a")["error"]["code"] == "idempotency"
    assert talk.ask(id, "retry", status=409, key="a")["error"]["code"] == "idempotency"
    too_long = talk.http.post(f"/conversations/{id}/retry", headers={"Idempotency-Key": "x" * 300})
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_a_request_whose_reply_was_never_made_goes_on_where_it_ended(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=4)
    responder.error = RuntimeError("gone")
    talk.say(id, "Hello", status=500, key="a")
    responder.error = None
    again = talk.say(id, "Hello", key="a")
    assert (again["said"]["number"], again["turn"]["text"]) == (1, "Hello #4")
    assert talk.say(id, "Hello", key="a") == again
    assert talk.texts(id) == ["Hello", "Hello #4"]
    responder.error = RuntimeError("gone")
    talk.say(id, "More", status=500, key="b")
    responder.error = None
    talk.ask(id, "undo")
    assert talk.say(id, "More", status=409, key="b")["error"]["code"] == "conflict"


# Who sees what


def test_a_key_sees_its_own_conversations_and_no_others(responder: FakeResponder, address: str) -> None:
    with Store(address) as store:
        anna, bob = (store.write(keys.add, name) for name in ("anna", "bob"))
    with served(responder, address, keys=True) as talk:
        assert talk.http.get("/conversations").status_code == 401
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        id = talk.create(turns=["secret", "reply"])
        talk.http.headers["Authorization"] = f"Bearer {bob}"
        assert talk.http.get("/conversations").json() == {"conversations": [], "next": None}
        assert talk.http.get("/conversations/export").text == ""
        nobodys = "A" * 22
        requests: list[tuple[str, str, Any]] = [
            *[("GET", "", None), ("GET", "/export", None), ("DELETE", "", None), ("PATCH", "", {"title": "x"})],
            *[("POST", "/turns", {"text": "x"}), ("POST", "/reply", {}), ("POST", "/retry", {})],
            *[("POST", "/stop", None), ("POST", "/undo", {}), ("POST", "/choose", {"candidate": 1})],
        ]
        for method, path, body in requests:
            of_anna = talk.http.request(method, f"/conversations/{id}{path}", json=body)
            missing = talk.http.request(method, f"/conversations/{nobodys}{path}", json=body)
            assert of_anna.status_code == missing.status_code == 404, path
            assert of_anna.json() == missing.json()
        talk.http.delete("/conversations")
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        assert talk.texts(id) == ["secret", "reply"]


def test_lists_come_in_pages_with_the_beginning_of_the_last_turn(talk: Talk) -> None:
    ids = [talk.create(title=f"title {n}") for n in range(3)]
    talk.say(ids[0], "x" * 500)
    first = talk.http.get("/conversations", params={"limit": 2}).json()
    second = talk.http.get("/conversations", params={"limit": 2, "before": first["next"]}).json()
    assert [each["id"] for each in first["conversations"] + second["conversations"]] == ids[::-1]
    assert second["next"] is None
    last = second["conversations"][0]
    assert (last["last"], last["turn_count"], last["waiting"], "turns" in last) == ("x" * 100, 2, False, False)
    assert first["conversations"][0]["last"] is None
    for params in ({"before": "x"}, {"limit": 0}, {"limit": 201}):
        refused = talk.http.get("/conversations", params=params)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, next(iter(params)))


def test_a_method_that_an_address_does_not_take_is_told_with_those_that_it_takes(talk: Talk) -> None:
    for path, methods in [
        ("/conversations", "DELETE, GET, POST"),
        (f"/conversations/{'a' * 22}", "DELETE, GET, PATCH"),
    ]:
        refused = talk.http.put(path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, methods)


# In and out


def test_what_is_exported_is_read_by_the_package_and_can_be_imported(talk: Talk, tmp_path: Path) -> None:
    turns = ["Hello\u2028", "Hi \x0b", "日本", "ok"]
    id = talk.create(turns=[*turns, "waits"], persona=["I am old."], meta={"source": {"turns": 2**70}}, title="T")
    talk.create(turns=["only one"])
    talk.create()
    exported = talk.http.get(f"/conversations/{id}/export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    everything = talk.http.get("/conversations/export")
    assert everything.content == exported.content
    (tmp_path / "out.jsonl").write_bytes(everything.content)
    [read] = read_conversations(tmp_path / "out.jsonl")
    assert read == Conversation(turns, ["I am old."], {"source": {"turns": 2**70}})
    again = talk.create(turns=list(read.turns), persona=list(read.persona), meta=read.meta)
    assert talk.http.get(f"/conversations/{again}/export").content == exported.content


def test_all_conversations_are_exported_however_many_there_are(talk: Talk) -> None:
    for n in range(120):
        talk.create(turns=[f"turn {n}", "Hi"])
    lines = talk.http.get("/conversations/export").text.splitlines()
    assert len(lines) == 120
    assert "turn 119" in lines[0] and "turn 0" in lines[-1]


def test_a_deleted_conversation_is_gone_from_the_files_with_all_that_belonged_to_it(talk: Talk, tmp_path: Path) -> None:
    id, other = talk.create(title="my secret"), talk.create(turns=["stays", "here"])
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


def test_old_conversations_are_deleted_when_the_server_is_told_so(responder: FakeResponder, address: str) -> None:
    with served(responder, address) as talk:
        id = talk.create(turns=["old", "Hi"])
        aged = text("update convmodel_conversations set updated = updated - 7200000000")
        talk.store.write(lambda connection: connection.execute(aged))
        young = talk.create()
    with served(responder, address, keep_for=timedelta(hours=1)) as talk:
        while talk.http.get(f"/conversations/{id}").status_code != 404:
            pass
        assert talk.read(young)["turns"] == []


# Limits


def test_more_than_is_allowed_is_refused_by_name(responder: FakeResponder, address: str) -> None:
    settings = Settings(turns=4, turn_chars=10, persona_chars=10)
    with served(responder, address, settings=settings) as talk:
        for param, body in [
            ("turns", {"turns": ["x"] * 5}),
            ("turns.1", {"turns": ["x", "y" * 11]}),
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


# Policy


@pytest.mark.parametrize(
    ("store", "kept"),
    [
        ("nothing", []),
        ("placeholder", ["[blocked]", "No."]),
        ("text", ["the foul word", "No."]),
    ],
)
def test_what_may_not_be_said_is_answered_kept_as_the_policy_says_and_never_read_again(
    responder: FakeResponder, address: str, tmp_path: Path, store: Any, kept: list[str]
) -> None:
    policy = Policy(words=WordList(["foul"]), say="No.", store=store)
    with served(responder, address, policy=policy) as talk:
        id = talk.create(seed=1)
        talk.say(id, "one")
        blocked = talk.say(id, "the foul word", key="k")
        assert (blocked["turn"]["text"], blocked["turn"]["blocked"], blocked["said"]["blocked"]) == ("No.", True, True)
        assert blocked["reply"]["blocked"] == {"side": "input", "by": "words", "label": None}
        assert (blocked["reply"]["finish"], blocked["waiting"]) == ("filtered", False)
        assert talk.texts(id) == ["one", "one #1", *kept]
        assert talk.say(id, "the foul word", key="k") == blocked
        assert any(b"foul" in file.read_bytes() for file in tmp_path.iterdir()) == (store == "text")
        if kept:
            assert talk.ask(id, "retry", status=409)["error"]["code"] == "blocked"
        talk.say(id, "two")
        assert responder.asked[-1]["context"] == ("one", "one #1", "two")
        exported = talk.http.get(f"/conversations/{id}/export").json()
        assert exported == {"turns": ["one", "one #1", "two", "one|one #1|two #1"]}
        for body in ({"persona": ["foul"]}, {"turns": ["foul"]}, {"turns": ["x", "foul"]}):
            assert talk.http.post("/conversations", json=body).json()["error"]["code"] == "blocked"


@pytest.mark.parametrize(
    ("store", "kept"),
    [("nothing", []), ("placeholder", ["fou", "No."]), ("text", ["fou", "No."])],
)
def test_a_reply_that_may_not_be_said_is_kept_as_the_policy_says_and_never_read_again(
    address: str, tmp_path: Path, store: Any, kept: list[str]
) -> None:
    responder = FakeResponder(lambda context, seed, _: f"{context[-1]}{'l' if seed < 3 else 'r'}")
    policy = Policy(words=WordList(["foul"]), say="No.", store=store)
    with served(responder, address, policy=policy) as talk:
        id = talk.create(seed=1, turns=["Hello", "Hi"])
        said = talk.say(id, "fou")
        assert (said["turn"]["text"], said["reply"]["blocked"]["side"], said["reply"]["text"]) == (
            "No.",
            "output",
            "No.",
        )
        assert talk.texts(id) == ["Hello", "Hi", *kept]
        assert any(b"foul" in file.read_bytes() for file in tmp_path.iterdir()) == (store == "text")
        assert "foul" not in talk.http.get(f"/conversations/{id}").text
        talk.say(id, "two", seed=9)
        assert responder.asked[-1]["context"] == ("Hello", "Hi", "two")
        talk.ask(id, "undo")
        if kept:
            assert [turn["blocked"] for turn in talk.read(id)["turns"]] == [False, False, True, True]
            assert talk.ask(id, "retry", seed=2)["turn"]["blocked"] is True
            again = talk.ask(id, "retry", seed=3)
            assert (again["turn"]["text"], again["turn"]["blocked"]) == ("four", False)
            assert [turn["blocked"] for turn in talk.read(id)["turns"]] == [False] * 4


# What the responder remembers


def test_a_conversation_has_one_session_until_its_turns_change_otherwise(talk: Talk, responder: FakeResponder) -> None:
    id, other = talk.create(), talk.create()
    for _ in range(2):
        talk.say(id, "x")
    talk.ask(id, "retry")
    talk.http.patch(f"/conversations/{id}", json={"title": "x"})
    talk.say(id, "x")
    talk.say(other, "x")
    talk.ask(id, "undo")
    talk.say(id, "x")
    talk.store.write(
        lambda connection: connection.execute(text("update convmodel_conversations set turns_version = 99"))
    )
    talk.say(id, "x")
    sessions = [asked["session"] for asked in responder.asked]
    assert len(set(sessions[:4])) == 1
    assert len({sessions[0], *sessions[4:]}) == 4


def test_only_the_sessions_that_were_used_last_are_kept() -> None:
    sessions = Sessions(2)

    def stored(id: str) -> ConversationHeader:
        return ConversationHeader(id, "anna", ConversationSettings(), 0, 0, 1, 1, 0)

    kept = {id: sessions.of(stored(id)) for id in "abc"}
    for id in "abc":
        sessions.keep(stored(id), kept[id])
    assert [sessions.of(stored(id)) is kept[id] for id in "abc"] == [False, True, True]


# What goes wrong


def test_a_store_that_cannot_write_is_an_error_of_our_shape_and_nothing_is_acknowledged(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = talk.create(turns=["Hello", "Hi"])

    async def full(*args: Any, **options: Any) -> Any:
        raise Unavailable("the store is not available: database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(talk.store, "awrite", full)
        for answer in (
            talk.http.post(f"/conversations/{id}/turns", json={"text": "x"}),
            talk.http.post("/conversations"),
            talk.http.delete(f"/conversations/{id}"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
            assert "Retry-After" in answer.headers and "disk" not in answer.text
        with talk.http.stream("POST", f"/conversations/{id}/retry", json={"stream": True}) as stream:
            *_, (name, value) = events(stream.iter_lines())
            assert (name, value["error"]["type"]) == ("error", "server_error")
    assert talk.texts(id) == ["Hello", "Hi"]
    assert talk.say(id, "x")["version"] == 3


def test_keys_that_cannot_be_read_let_nobody_in_and_the_server_lives(
    responder: FakeResponder, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(address) as store:
        anna = store.write(keys.add, "anna")
    with served(responder, address, keys=True) as talk:
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        assert talk.http.get("/conversations").status_code == 200

        def gone(*_: object) -> None:
            raise Unavailable("the store is not available: connection refused")

        monkeypatch.setattr("convmodel.serving.auth.FRESH", -1.0)
        monkeypatch.setattr(talk.store, "read", gone)
        refused = talk.http.get("/conversations")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert talk.http.get("/health").status_code == 200
        assert talk.http.get("/ready").status_code == 503
