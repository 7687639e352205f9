"""Parsing of Telegram updates into requests to the bot."""

import contextlib
import logging
import re
from dataclasses import dataclass, replace
from typing import Literal

from aiogram import Bot
from aiogram.enums import ChatMemberStatus, ChatType, ContentType
from aiogram.exceptions import AiogramError
from aiogram.filters import Command
from aiogram.types import ChatMemberUpdated, Message, MessageEntity, Update

from convmodel.data.chat_fields import UNKNOWN
from convmodel.data.sides import name_text
from convmodel.serving.telegram.messages import clean
from convmodel.serving.telegram.sending import TIMEOUT

LOG = logging.getLogger(__name__)

Kind = Literal["say", "command", "unreadable", "edit", "stop", "left", "back", "moved"]
"""Type of a request.

Messages: a turn ("say"), a command, a message without readable text, an edited text. Changes of the chat: the bot may
no longer write to it ("left"), may write to it again ("back"), or the chat has a new id ("moved"). "stop" stops the
reply in progress.
"""

KINDS = ["message", "edited_message", "my_chat_member", "stopped_message_generation"]
"""Telegram's types of updates that the bot requests."""

PRIVACY_HINT = (
    "added to a group while privacy mode is on: the bot receives commands and replies to its messages there, but no "
    "mentions; turn it off in @BotFather (/setprivacy, Disable), then remove the bot from the group and add it again"
)

_OUTSIDE = (ChatMemberStatus.KICKED, ChatMemberStatus.LEFT)

_NO_TEXT = {
    *(ContentType.ANIMATION, ContentType.AUDIO, ContentType.DOCUMENT, ContentType.LIVE_PHOTO, ContentType.PAID_MEDIA),
    *(ContentType.PHOTO, ContentType.STICKER, ContentType.STORY, ContentType.VIDEO, ContentType.VIDEO_NOTE),
    *(ContentType.VOICE, ContentType.CHECKLIST, ContentType.CONTACT, ContentType.DICE, ContentType.GAME),
    *(ContentType.POLL, ContentType.VENUE, ContentType.LOCATION, ContentType.RICH_MESSAGE),
}
"""Types of messages without text for the model."""


@dataclass(frozen=True)
class UpdateRequest:
    """The request to the bot in an update.

    Args:
        kind: type of the request.
        chat: id of the chat.
        text: new or edited text; for a command, its name and its arguments.
        message: id of the message; None if the update has no message.
        thread: id of the topic in the chat; None for a chat without topics.
        group: whether the chat is a group.
        moved_to: new id of the chat, for "moved".
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
        """Whether the request needs an answer."""
        return self.kind in ("say", "command", "unreadable")

    @property
    def is_storable(self) -> bool:
        """Whether all ids fit into the 64-bit integers of the store."""
        ids = (self.chat, self.message, self.thread, self.moved_to)
        return all(id is None or -(2**63) <= id < 2**63 for id in ids)


async def parse_update(update: Update, *, bot: Bot, names: bool = False) -> UpdateRequest | None:
    """Return the request to the bot in an update; None if the update contains no request.

    Args:
        update: an update; it must be bound to the bot, by aiogram's validation context.
        bot: the bot.
        names: whether the text of a turn in a group begins with the first name of its writer.
    """
    request = await _parse(update, bot)
    message = update.message or update.edited_message
    if names and message is not None and request is not None and request.group and request.kind in ("say", "edit"):
        return replace(request, text=clean(name_text(_writer(message), request.text)))
    return request


def _writer(message: Message) -> str:
    """Return the first name of a message's writer, or the title of the group or channel that wrote it."""
    title = None if message.sender_chat is None else message.sender_chat.title
    first_name = None if message.from_user is None else message.from_user.first_name
    return " ".join((title or first_name or "").split()) or UNKNOWN


async def _parse(update: Update, bot: Bot) -> UpdateRequest | None:
    if update.my_chat_member is not None:
        return await _member(update.my_chat_member, bot)
    if update.stopped_message_generation is not None:
        return UpdateRequest("stop", update.stopped_message_generation.chat.id)
    message = update.message or update.edited_message
    if message is None:
        return None
    if update.message is not None and message.migrate_to_chat_id:
        return UpdateRequest("moved", message.chat.id, moved_to=message.migrate_to_chat_id, group=True)
    spoken = await _addressed(message, bot)
    if spoken is None:
        return None
    if message.text:
        if update.message is not None:
            return _say(message, spoken.strip())
        return _request("edit", message, spoken.strip()) if spoken.strip() and not spoken.startswith("/") else None
    readable = update.message is None or message.content_type not in _NO_TEXT or message.chat.type != ChatType.PRIVATE
    return None if readable else _request("unreadable", message, "")


async def _addressed(message: Message, bot: Bot) -> str | None:
    """Return the text of a message without mentions of the bot, or None if the message does not address the bot.

    In a private chat every message addresses the bot. In a group it must mention the bot, reply to a message of the
    bot, or be a command with the bot's name.
    """
    sender = message.from_user
    me = await bot.me()
    if message.chat.type == ChatType.CHANNEL or message.is_automatic_forward:
        return None
    if sender is None or (sender.is_bot and message.sender_chat is None):
        return None
    text = message.text or ""
    to_name = re.match(r"/[^/@\s]\w*@(\w+)", text)  # a command that names its bot, such as /help@name
    if to_name is not None and to_name[1].lower() != (me.username or "").lower():
        return None
    if message.chat.type == ChatType.PRIVATE:
        return text
    mentions = [entity for entity in message.entities or [] if _is_mention(entity, text, me.id, me.username or "")]
    original = message.reply_to_message
    replied = original is not None and original.from_user is not None and original.from_user.id == me.id
    if mentions or replied or to_name is not None:
        return _remove_mentions(text, mentions)
    return None


def _is_mention(entity: MessageEntity, text: str, me: int, username: str) -> bool:
    if entity.type == "text_mention":
        return entity.user is not None and entity.user.id == me
    return entity.type == "mention" and entity.extract_from(text).lower() == f"@{username}".lower()


def _remove_mentions(text: str, mentions: list[MessageEntity]) -> str:
    """Remove mentions of the bot from a text; offsets of mentions are in UTF-16 code units."""
    codec = ("utf-16-le", "surrogatepass")
    raw = text.encode(*codec)
    for entity in sorted(mentions, key=lambda entity: entity.offset, reverse=True):
        before = raw[: 2 * entity.offset].decode(*codec).rstrip()
        raw = before.encode(*codec) + raw[2 * (entity.offset + entity.length) :]
    begins_with_mention = any(entity.offset == 0 for entity in mentions)
    return raw.decode(*codec).lstrip(" ,:;" if begins_with_mention else None).strip()


def _request(kind: Kind, message: Message, text: str) -> UpdateRequest:
    return UpdateRequest(
        kind,
        message.chat.id,
        clean(text),
        message=message.message_id,
        thread=message.message_thread_id if message.is_topic_message else None,
        group=message.chat.type != ChatType.PRIVATE,
    )


def _say(message: Message, text: str) -> UpdateRequest:
    if text.startswith("/") and not text.startswith("//"):
        command = Command.extract_command(text)
        return _request("command", message, f"{command.command.lower()} {command.args or ''}".rstrip())
    # A text that begins with // is a turn that begins with a slash, as in the terminal chat.
    text = text[1:] if text.startswith("//") else text
    return _request("say" if text else "unreadable", message, text)


async def _member(event: ChatMemberUpdated, bot: Bot) -> UpdateRequest | None:
    if event.chat.type == ChatType.CHANNEL:
        return None
    left = event.new_chat_member.status in _OUTSIDE
    joined = event.old_chat_member.status in _OUTSIDE and not left
    # Privacy mode does not concern administrators, which receive all messages.
    if (
        joined
        and event.chat.type != ChatType.PRIVATE
        and event.new_chat_member.status != ChatMemberStatus.ADMINISTRATOR
    ):
        await _log_privacy_mode(bot)
    return UpdateRequest("left" if left else "back", event.chat.id)


async def _log_privacy_mode(bot: Bot) -> None:
    """Log a hint if privacy mode is on, so that Telegram does not send mentions in groups to the bot.

    The setting is requested from Telegram each time, since it may have been changed.
    """
    with contextlib.suppress(AiogramError):
        if (await bot.get_me(request_timeout=TIMEOUT)).can_read_all_group_messages is False:
            LOG.warning(PRIVACY_HINT)
