"""Sessions of the responder."""

from sqlalchemy import text

from convmodel.serving.conversations.sessions import Sessions
from convmodel.serving.store.records import ConversationHeader, ConversationSettings
from tests.fakes import FakeResponder
from tests.serving.talking import Talk


def test_a_conversation_keeps_its_session_until_its_turns_are_changed(talk: Talk, responder: FakeResponder) -> None:
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
    sessions = [request["session"] for request in responder.requests]
    assert len(set(sessions[:4])) == 1
    assert len({sessions[0], *sessions[4:]}) == 4


def test_the_least_recently_used_sessions_are_dropped() -> None:
    sessions = Sessions(2)

    def stored(id: str) -> ConversationHeader:
        return ConversationHeader(id, "anna", ConversationSettings(), 0, 0, 1, 1, 0)

    kept = {id: sessions.of(stored(id)) for id in "abc"}
    for id in "abc":
        sessions.keep(stored(id), kept[id])
    assert [sessions.of(stored(id)) is kept[id] for id in "abc"] == [False, True, True]
