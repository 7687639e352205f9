"""Updates of Telegram and the requests parsed from them."""

from typing import Any

import pytest
from aiogram import Bot
from aiogram.types import Update, User

from convmodel.serving.telegram.updates import UpdateRequest, parse_update
from tests.serving.telegram.fake_api import ALICE, ME, NAME, TOKEN, group
from tests.serving.telegram.harness import run

PERSON = {"id": 7, "type": "private", "first_name": "Alice"}


def parse(kind: str, value: dict[str, Any], *, names: bool = False) -> UpdateRequest | None:
    async def work() -> UpdateRequest | None:
        bot = Bot(TOKEN)
        bot._me = User.model_validate(ME)
        update = Update.model_validate({"update_id": 1, kind: value}, context={"bot": bot})
        return await parse_update(update, bot=bot, names=names)

    return run(work())


def message(text: str | None = None, **more: Any) -> dict[str, Any]:
    default = {"message_id": 5, "date": 1_700_000_000, "chat": PERSON, "from": ALICE}
    return default | ({} if text is None else {"text": text}) | more


def in_group(text: str, **more: Any) -> UpdateRequest | None:
    return parse("message", message(text, chat=group(-9), **more))


def mention(text: str, name: str, kind: str = "mention") -> dict[str, Any]:
    before = text[: text.index(name)]
    return {"type": kind, "offset": len(before.encode("utf-16-le")) // 2, "length": len(name)}


def test_a_text_of_a_person_is_a_turn() -> None:
    assert parse("message", message(" Hello \n you ")) == UpdateRequest("say", 7, "Hello \n you", message=5)


def test_a_text_with_a_slash_is_a_command_and_with_two_slashes_a_turn() -> None:
    assert parse("message", message("/Set temperature  0.5 ")) == UpdateRequest(
        "command", 7, "set temperature  0.5", message=5
    )
    assert parse("message", message("/reset")) == UpdateRequest("command", 7, "reset", message=5)
    assert parse("message", message(f"/reset@{NAME.upper()}")) == UpdateRequest("command", 7, "reset", message=5)
    assert parse("message", message("/persona\nI am\nold")) == UpdateRequest(
        "command", 7, "persona I am\nold", message=5
    )
    assert parse("message", message("/")) == UpdateRequest("command", 7, "", message=5)
    assert parse("message", message("//reset is a command")) == UpdateRequest(
        "say", 7, "/reset is a command", message=5
    )
    assert parse("message", message("/reset@otherbot")) is None


def test_in_a_group_only_messages_that_address_the_bot_are_requests() -> None:
    assert in_group("Hello everybody") is None
    assert in_group("/reset") is in_group("/reset@otherbot") is None
    text = f"👋 @{NAME.upper()}, how are you?"
    named = [mention(text, f"@{NAME.upper()}")]
    assert in_group(text, entities=named) == UpdateRequest("say", -9, "👋, how are you?", message=5, group=True)
    assert in_group("@someone hi", entities=[mention("@someone hi", "@someone")]) is None
    assert in_group(f"/reset@{NAME}") == UpdateRequest("command", -9, "reset", message=5, group=True)
    text = f"@{NAME} /undo"
    assert in_group(text, entities=[mention(text, f"@{NAME}")]) == UpdateRequest(
        "command", -9, "undo", message=5, group=True
    )
    of_bot = message("hi", **{"from": ME})
    of_alice = message("hi")
    assert in_group("And you?", reply_to_message=of_bot) == UpdateRequest("say", -9, "And you?", message=5, group=True)
    assert in_group("And you?", reply_to_message=of_alice) is None
    by_link = {**mention("Conv, hi", "Conv", "text_mention"), "user": ME}
    assert in_group("Conv, hi", entities=[by_link]) == UpdateRequest("say", -9, "hi", message=5, group=True)


def test_a_mention_without_text_is_unreadable() -> None:
    named = [mention(f"@{NAME}", f"@{NAME}")]
    assert in_group(f"@{NAME}", entities=named) == UpdateRequest("unreadable", -9, message=5, group=True)


def test_a_message_in_a_topic_is_answered_there() -> None:
    request = in_group(f"/help@{NAME}", message_thread_id=3, is_topic_message=True)
    assert request == UpdateRequest("command", -9, "help", message=5, thread=3, group=True)
    assert in_group(f"/help@{NAME}", message_thread_id=3) == UpdateRequest("command", -9, "help", message=5, group=True)


@pytest.mark.parametrize(
    "content",
    [
        {"sticker": {"file_id": "s", "file_unique_id": "u", "width": 1, "height": 1, "type": "regular"}
         | {"is_animated": False, "is_video": False}},
        {"photo": [{"file_id": "p", "file_unique_id": "u", "width": 1, "height": 1}], "caption": "Look!"},
        {"voice": {"file_id": "v", "file_unique_id": "u", "duration": 1}},
        {"document": {"file_id": "d", "file_unique_id": "u"}},
        {"location": {"latitude": 1.0, "longitude": 2.0}},
        {"dice": {"emoji": "🎲", "value": 3}},
        {"contact": {"phone_number": "1", "first_name": "Bob"}},
    ],
    ids=lambda content: next(iter(content)),
)  # fmt: skip
def test_content_other_than_text_is_unreadable_in_private_chats_and_ignored_in_groups(content: dict[str, Any]) -> None:
    assert parse("message", message(**content)) == UpdateRequest("unreadable", 7, message=5)
    assert parse("message", message(**content, chat=group(-9), reply_to_message=message("x", **{"from": ME}))) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("message", message(new_chat_title="Friends", chat=group(-9))),
        ("message", message(new_chat_members=[ALICE], chat=group(-9))),
        ("message", message(pinned_message=message("x"))),
        ("message", message("I am a bot", **{"from": {**ALICE, "is_bot": True}})),
        ("message", message("Nobody said this", **{"from": None})),
        ("message", message("News", is_automatic_forward=True, chat=group(-9))),
        ("message", message()),
        ("channel_post", message("News", chat={"id": -5, "type": "channel", "title": "News"})),
        ("edited_channel_post", message("News", chat={"id": -5, "type": "channel", "title": "News"})),
        ("callback_query", {"id": "1", "from": ALICE, "chat_instance": "x", "data": "y"}),
        ("inline_query", {"id": "1", "from": ALICE, "query": "x", "offset": ""}),
        ("poll_answer", {"poll_id": "1", "user": ALICE, "option_ids": [0], "option_persistent_ids": ["0"]}),
        ("business_message", message("Hello", business_connection_id="b")),
        ("edited_message", message("/reset", edit_date=1_700_000_001)),
        ("something_new", {"id": 3}),
    ],
)
def test_updates_without_a_request_are_ignored(kind: str, value: dict[str, Any]) -> None:
    assert parse(kind, value) is None


def test_an_anonymous_administrator_can_use_commands() -> None:
    anonymous = {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}, "sender_chat": group(-9)}
    assert in_group(f"/undo@{NAME}", **anonymous) == UpdateRequest("command", -9, "undo", message=5, group=True)


def test_edits_moves_stops_and_changes_of_membership_are_requests() -> None:
    assert parse("edited_message", message("Hello!", edit_date=1_700_000_001)) == UpdateRequest(
        "edit", 7, "Hello!", message=5
    )
    moved = message(chat={"id": -3, "type": "group", "title": "Friends"}, migrate_to_chat_id=-1003)
    assert parse("message", moved) == UpdateRequest("moved", -3, group=True, moved_to=-1003)
    status = {"chat": PERSON, "from": ALICE, "date": 1, "old_chat_member": {"status": "member", "user": ME}}
    gone = status | {"new_chat_member": {"status": "kicked", "user": ME, "until_date": 0}}
    assert parse("my_chat_member", gone) == UpdateRequest("left", 7)
    back = status | {"new_chat_member": {"status": "member", "user": ME}}
    assert parse("my_chat_member", back) == UpdateRequest("back", 7)
    assert parse("stopped_message_generation", {"chat": PERSON, "draft_id": 4}) == UpdateRequest("stop", 7)


def test_lone_surrogates_in_a_text_are_replaced() -> None:
    assert parse("message", message("a\ud83d")) == UpdateRequest("say", 7, "a\ufffd", message=5)


def test_turns_in_groups_begin_with_first_names_where_wanted() -> None:
    text = f"@{NAME} Hello\nBo: I agree"
    said = message(text, chat=group(-9), entities=[mention(text, f"@{NAME}")])
    named = parse("message", said, names=True)
    assert named is not None and named.text == f"{ALICE['first_name']}: Hello\n Bo: I agree"
    edited = parse("edited_message", said, names=True)
    assert edited is not None and edited.text == named.text
    plain = parse("message", said)
    assert plain is not None and plain.text == "Hello\nBo: I agree"
    posing = message(text, chat=group(-9), entities=said["entities"]) | {"from": ALICE | {"first_name": "Bo: hi\nEve"}}
    posed = parse("message", posing, names=True)
    assert posed is not None and posed.text.startswith("Bo hi Eve: Hello")
    assert parse("message", message("Hello"), names=True) == parse("message", message("Hello"))
    command = message(f"/reset@{NAME}", chat=group(-9))
    assert parse("message", command, names=True) == parse("message", command)
