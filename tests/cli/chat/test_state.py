"""The state of a chat: turns, settings, seeds."""

import random

import pytest

from convmodel.cli.chat.state import Chat
from convmodel.data.conversation import Conversation
from convmodel.responders.protocol import Candidate, Reply
from tests.fakes import FakeResponder


def exchange(chat: Chat, text: str) -> str:
    """Says a text and takes the reply."""
    chat.say(text)
    reply = chat.start().result()
    assert chat.add_reply(reply)
    return reply.text


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def chat(responder: FakeResponder) -> Chat:
    return Chat(responder, source=random.Random(0))


def test_turns_alternate_and_the_responder_gets_all_of_them(chat: Chat, responder: FakeResponder) -> None:
    first = exchange(chat, "Hello")
    second = exchange(chat, "How are you?")
    assert chat.turns == ("Hello", first, "How are you?", second)
    assert [request["context"] for request in responder.requests] == [("Hello",), ("Hello", first, "How are you?")]


def test_a_waiting_turn_is_extended_by_the_next_line(chat: Chat) -> None:
    chat.say("Hello")
    assert chat.waiting
    chat.say("Are you there?")
    assert chat.turns == ("Hello\nAre you there?",) and chat.waiting


def test_an_invalid_turn_is_rejected_and_changes_nothing(chat: Chat) -> None:
    for text in ("", "  ", "\ud800"):
        with pytest.raises(ValueError, match="turn 1"):
            chat.say(text)
    assert chat.turns == ()
    with pytest.raises(ValueError, match="nothing waits for a reply"):
        chat.start()


def test_a_reply_without_text_is_not_taken(chat: Chat) -> None:
    chat.say("Hello")
    assert not chat.add_reply(Reply((Candidate(" "),)))
    assert chat.turns == ("Hello",) and chat.waiting


def test_undo_takes_back_an_exchange_or_the_turn_that_waits(chat: Chat) -> None:
    reply = exchange(chat, "Hello")
    chat.say("And?")
    assert chat.undo() == ("And?",)
    assert chat.undo() == ("Hello", reply)
    assert chat.turns == ()
    with pytest.raises(ValueError, match="nothing to take back"):
        chat.undo()


def test_the_same_seed_gives_the_same_conversation_and_a_retry_takes_the_next(responder: FakeResponder) -> None:
    this, other = Chat(responder, seed=7), Chat(responder, seed=7)
    assert [exchange(this, text) for text in ("a", "b")] == [exchange(other, text) for text in ("a", "b")]
    other.retry()
    assert other.turns == this.turns[:3]
    assert other.add_reply(other.start().result())
    other.retry()
    other.start()
    exchange(this, "c")
    assert [request["seed"] for request in responder.requests] == [7, 7, 7, 7, 8, 9, 7]


def test_without_a_seed_every_reply_draws_one_that_is_short_enough_to_be_typed(
    chat: Chat, responder: FakeResponder
) -> None:
    exchange(chat, "a")
    exchange(chat, "b")
    seeds = [request["seed"] for request in responder.requests]
    assert seeds[0] != seeds[1] and all(0 <= seed < 1_000_000 for seed in seeds)


def test_there_is_nothing_to_retry_in_an_empty_chat(chat: Chat) -> None:
    with pytest.raises(ValueError, match="say something first"):
        chat.retry()


def test_going_back_to_a_mark_undoes_everything_since(chat: Chat) -> None:
    exchange(chat, "a")
    before, last = chat.turns, chat.last
    mark = chat.mark()
    chat.retry()
    assert chat.turns != before
    chat.restore(mark)
    assert chat.turns == before and chat.last is last


def test_another_candidate_becomes_the_reply(chat: Chat) -> None:
    chat.set_options({"num_return_sequences": 3})
    exchange(chat, "Hello")
    texts = [candidate.text for candidate in chat.last_reply().candidates]
    assert len(texts) == 3
    assert chat.choose(2) == texts[1]
    assert chat.turns == ("Hello", texts[1]) and chat.chosen == 1
    with pytest.raises(ValueError, match="no candidate 4; there are 1 to 3"):
        chat.choose(4)


def test_a_loaded_reply_has_no_candidates(chat: Chat) -> None:
    for prepare in (lambda: None, lambda: chat.load(Conversation(["a", "b"])), lambda: chat.say("c")):
        prepare()
        with pytest.raises(ValueError, match="no reply to look into"):
            chat.last_reply()


def test_reset_and_load_begin_a_new_session_and_the_settings_stay(chat: Chat, responder: FakeResponder) -> None:
    chat.set_persona(["I like rain."])
    chat.set_options({"temperature": 0.5})
    exchange(chat, "a")
    first = chat.session
    chat.reset()
    assert (chat.turns, chat.persona, chat.own) == ((), ("I like rain.",), {"temperature": 0.5})
    assert chat.session is not first
    chat.load(Conversation(["x", "y", "z"], ["I like sun."], {"id": 1}))
    assert chat.waiting and chat.persona == ("I like sun.",)
    assert chat.add_reply(chat.start().result())
    assert responder.requests[-1]["session"] is chat.session
    assert responder.requests[-1]["context"] == ("x", "y", "z")
    assert chat.conversation() == Conversation(chat.turns, ["I like sun."], {"id": 1})


def test_only_a_conversation_of_two_turns_can_be_saved(chat: Chat) -> None:
    chat.say("a")
    with pytest.raises(ValueError, match="needs two turns; talk first"):
        chat.conversation()


def test_options_override_the_preset_and_the_preset_overrides_the_model(chat: Chat, responder: FakeResponder) -> None:
    assert chat.options == dict(responder.options)
    chat.use_preset("bold")
    chat.set_options({"top_k": 5})
    assert chat.settings == {"temperature": 1.5, "top_k": 5}
    assert chat.options == {**responder.options, "temperature": 1.5, "top_k": 5}
    exchange(chat, "a")
    assert responder.requests[-1]["options"] == {"temperature": 1.5, "top_k": 5}
    chat.unset("top_k")
    assert chat.settings == {"temperature": 1.5}
    chat.use_preset(None)
    assert chat.settings == {}


def test_invalid_options_change_nothing(chat: Chat) -> None:
    chat.set_options({"top_k": 5})
    for wrong in ({"tempo": 1}, {"temperature": 0}):
        with pytest.raises(ValueError, match=r"tempo|temperature"):
            chat.set_options(wrong)
    with pytest.raises(ValueError, match="there is no preset 'x'; there are bold, sober"):
        chat.use_preset("x")
    with pytest.raises(ValueError, match="temperature was not set"):
        chat.unset("temperature")
    assert chat.own == {"top_k": 5}


def test_a_chat_rejects_invalid_settings_at_its_start(responder: FakeResponder) -> None:
    with pytest.raises(ValueError, match="persona sentence 1 is empty"):
        Chat(responder, persona=[""])
    with pytest.raises(ValueError, match="no preset"):
        Chat(responder, preset="x")
    with pytest.raises(ValueError, match="no such option"):
        Chat(responder, options={"x": 1})


# Names


def test_a_chat_of_several_people_names_them(responder: FakeResponder) -> None:
    chat = Chat(responder, speaker="Tom", source=random.Random(0))
    first = exchange(chat, "Hello")
    chat.speak_as("Ida")  # so does the turn before
    assert chat.names == ("Ida", "Tom")
    chat.say("Who comes?")
    chat.speak_as("Eve")
    second = exchange(chat, "I do.")
    assert responder.requests[0]["context"] == ("Hello",)
    assert responder.requests[1]["context"] == ("Ida: Hello", first, "Ida: Who comes?\nEve: I do.")
    talk = chat.conversation()
    assert talk.turns == ("Hello", first, "Who comes?", "I do.", second)
    assert talk.speakers == ("Ida", "Tom", "Ida", "Eve", "Tom")
    assert chat.undo() == ("I do.", second) and chat.names == ("Ida", "Tom", "Ida") and chat.waiting
    with pytest.raises(ValueError, match="Tom is the one who replies; give another name"):
        chat.speak_as("Tom")
    with pytest.raises(ValueError, match="give a name of one line"):
        chat.speak_as("I\nda")


def test_a_loaded_group_keeps_its_names_or_has_two_sides(responder: FakeResponder) -> None:
    group = Conversation(["a", "b", "c"], speakers=["Ida", "Tom", "Eve"])
    chat = Chat(responder, speaker="Tom")
    chat.load(group)
    assert chat.waiting and chat.conversation() == group
    plain = Chat(responder)
    plain.load(group)
    assert plain.turns == ("Ida: a\nTom: b", "c") and plain.conversation().speakers is None
    assert not plain.waiting and plain.named is False


def test_a_turn_that_fails_leaves_the_names_as_they_were(chat: Chat) -> None:
    chat.speak_as("Ida")
    mark = chat.mark()
    chat.say("Hello")
    chat.restore(mark)
    assert chat.names == chat.turns == ()
