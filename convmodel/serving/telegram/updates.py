"""An update of Telegram in, what it asks of the bot out; None where it asks nothing."""

import re
from dataclasses import dataclass
from typing import Literal

from aiogram import Bot, Dispatcher, F, Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.enums import ChatMemberStatus, ChatType, ContentType
from aiogram.filters import Command
from aiogram.types import ChatMemberUpdated, Message, MessageEntity, MessageGenerationStopped, Update

from convmodel.serving.telegram.message_split import clean

Kind = Literal["say", "command", "unreadable", "edit", "stop", "left", "back", "moved"]
"""What is asked: a turn, a command, an answer to what is no text, a text that was edited, the end of the reply that is
being made; or what happened to the chat: the bot may not write there any more, may again, or it has another id."""

KINDS = ["message", "edited_message", "my_chat_member", "stopped_message_generation"]
"""The updates that Telegram is asked for."""

_NO_TEXT = {
    *(ContentType.ANIMATION, ContentType.AUDIO, ContentType.DOCUMENT, ContentType.LIVE_PHOTO, ContentType.PAID_MEDIA),
    *(ContentType.PHOTO, ContentType.STICKER, ContentType.STORY, ContentType.VIDEO, ContentType.VIDEO_NOTE),
    *(ContentType.VOICE, ContentType.CHECKLIST, ContentType.CONTACT, ContentType.DICE, ContentType.GAME),
    *(ContentType.POLL, ContentType.VENUE, ContentType.LOCATION, ContentType.RICH_MESSAGE),
}
"""What a person sends, and a model of texts cannot read."""


@dataclass(frozen=True)
class Asked:
    """What an update asks.

    Args:
        kind: see `Kind`.
        chat: of which it is.
        text: that was said or edited; of a command, its name and the rest of the line.
        message: id of the message; None where there is none.
        thread: of the chat, where it has some.
        group: whether the chat is one of several people.
        moved_to: the chat's id from now on, for "moved".
    """

    kind: Kind
    chat: int
    text: str = ""
    message: int | None = None
    thread: int | None = None
    group: bool = False
    moved_to: int | None = None

    @property
    def to_do(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.kind in ("say", "command", "unreadable")


def dispatcher() -> Dispatcher:
    """Knows the updates that ask something."""
    router = Router(name="asking")
    router.message.register(_moved, F.migrate_to_chat_id)
    router.message.register(_say, _addressed, F.text)
    router.message.register(_unreadable, _addressed, F.content_type.in_(_NO_TEXT), F.chat.type == ChatType.PRIVATE)
    router.edited_message.register(_edit, _addressed, F.text)
    router.my_chat_member.register(_member)
    router.stopped_message_generation.register(_stop)
    found = Dispatcher(disable_fsm=True)
    found.include_router(router)
    return found


async def asked(update: Update, *, bot: Bot, dispatcher: Dispatcher) -> Asked | None:
    """What an update asks.

    Args:
        update: that knows the bot.
        bot: which has asked who it is.
        dispatcher: see `dispatcher`.
    """
    if not any(getattr(update, kind, None) for kind in KINDS):
        return None
    found = await dispatcher.feed_update(bot, update)
    return None if found is UNHANDLED else found


async def _addressed(message: Message, bot: Bot) -> bool | dict[str, str]:
    """Whether a person speaks to the bot: always when alone with it, otherwise by its name or as a reply to it."""
    sender, me = message.from_user, await bot.me()
    if message.chat.type == ChatType.CHANNEL or message.is_automatic_forward:
        return False
    if sender is None or (sender.is_bot and message.sender_chat is None):
        return False
    text, command_for = message.text or "", _named(message.text or "")
    if command_for is not None and command_for.lower() != (me.username or "").lower():
        return False
    if message.chat.type == ChatType.PRIVATE:
        return {"spoken": text}
    mentions = [entity for entity in message.entities or [] if _is_mention(entity, text, me.id, me.username or "")]
    replied = message.reply_to_message is not None and _is(message.reply_to_message, me.id)
    return {"spoken": _without(text, mentions)} if mentions or replied or command_for is not None else False


def _named(text: str) -> str | None:
    """The bot whose name stands in a command."""
    found = re.match(r"/[^/@\s]\w*@(\w+)", text)
    return found[1] if found else None


def _is_mention(entity: MessageEntity, text: str, me: int, username: str) -> bool:
    if entity.type == "text_mention":
        return entity.user is not None and entity.user.id == me
    return entity.type == "mention" and entity.extract_from(text).lower() == f"@{username}".lower()


def _is(message: Message, me: int) -> bool:
    return message.from_user is not None and message.from_user.id == me


def _without(text: str, mentions: list[MessageEntity]) -> str:
    """A text without the names by which the bot was called; offsets are in UTF-16 code units."""
    raw = text.encode("utf-16-le", "surrogatepass")
    for entity in sorted(mentions, key=lambda entity: entity.offset, reverse=True):
        before, after = raw[: 2 * entity.offset], raw[2 * (entity.offset + entity.length) :]
        raw = (_decoded(before).rstrip() + _decoded(after)).encode("utf-16-le", "surrogatepass")
    called_first = any(entity.offset == 0 for entity in mentions)
    return _decoded(raw).lstrip(" ,:;" if called_first else None).strip()


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-16-le", "surrogatepass")


def _about(kind: Kind, message: Message, text: str) -> Asked:
    return Asked(
        kind,
        message.chat.id,
        clean(text),
        message=message.message_id,
        thread=message.message_thread_id if message.is_topic_message else None,
        group=message.chat.type != ChatType.PRIVATE,
    )


async def _say(message: Message, spoken: str) -> Asked:
    said = spoken.strip()
    if said.startswith("/") and not said.startswith("//"):
        command = Command.extract_command(said)
        return _about("command", message, f"{command.command.lower()} {command.args or ''}".rstrip())
    # As in the terminal, a text that begins with / is written with //.
    said = said[1:] if said.startswith("//") else said
    return _about("say" if said else "unreadable", message, said)


async def _unreadable(message: Message) -> Asked:
    return _about("unreadable", message, "")


async def _edit(message: Message, spoken: str) -> Asked | None:
    return _about("edit", message, spoken.strip()) if spoken.strip() and not spoken.startswith("/") else None


async def _moved(message: Message) -> Asked:
    return Asked("moved", message.chat.id, moved_to=message.migrate_to_chat_id, group=True)


async def _member(event: ChatMemberUpdated) -> Asked | None:
    if event.chat.type == ChatType.CHANNEL:
        return None
    gone = event.new_chat_member.status in (ChatMemberStatus.KICKED, ChatMemberStatus.LEFT)
    return Asked("left" if gone else "back", event.chat.id)


async def _stop(event: MessageGenerationStopped) -> Asked:
    return Asked("stop", event.chat.id)
