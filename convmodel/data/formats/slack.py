"""Slack's export of a workspace: a folder or zip archive with one folder per channel and one JSON file per day.

`users.json` holds the names of the people. A thread, with the message that began it, is a separate chat. An export has
only the last version of an edited message. Messages of bots are left out, unless the model replies as the bot. The
response of the API method `conversations.history`, an object with `messages`, is read too.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import choose_name, first_object, is_companion, read_object, read_text, read_time
from convmodel.data.chat_format import ChatFormat, Messages, ReadMessages, chain_files, make_messages
from convmodel.data.chat_order import sort_messages
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Item, Problem
from convmodel.data.json_stream import Path, take_depth
from convmodel.data.people import is_same_person

_COMPANIONS: Mapping[str, str | None] = {
    **{"users.json": "team_id", "org_users.json": "profile", "channels.json": "members", "groups.json": "members"},
    **dict.fromkeys(("dms.json", "mpims.json", "integration_logs.json", "file_conversations.json"), ""),
    **dict.fromkeys(("canvases.json", "lists.json", "huddle_transcripts.json")),
}
"""Files of the export that hold no messages; see `is_companion`."""

_PEOPLE = ("users.json", "org_users.json")
_TEXT_TYPES = (None, "me_message", "thread_broadcast", "file_share", "file_comment", "file_mention", "bot_message")
_MARK = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")

Names = Mapping[str, Sequence[Any]]


def score(head: Head) -> Certainty:
    """Return SURE for messages with a time `ts`, or for another file of the export, and NONE otherwise."""
    if is_companion(head, _COMPANIONS):
        return Certainty.SURE
    message = first_object(head.value.get("messages") if isinstance(head.value, dict) else head.value)
    is_message = message.get("type") == "message" and ("ts" in message or "client_msg_id" in message)
    return Certainty.SURE if is_message else Certainty.NONE


def combine(files: Sequence[DataFile], read: ReadMessages) -> Messages:
    """Yield the messages of all files, sorted by channel or thread and by time, with the names of `users.json`."""
    names: dict[str, Sequence[Any]] = {}
    for file in files:
        for item in file.values(take_depth(1)) if PurePath(file.name).name in _PEOPLE else ():
            if item.problem is not None:
                yield Problem(item.number, item.problem, file.name)
            names.update(_read_names(read_object(item.value)))
    days = [file for file in files if not is_companion(file.head, _COMPANIONS)]
    yield from sort_messages(chain_files(days, partial(read_messages, names=names)))


def read_messages(file: DataFile, names: Names | None = None) -> Messages:
    """Yield the messages of one day of a channel.

    Args:
        file: the file.
        names: the names of each person, by the id of the person.
    """
    return make_messages(file.values(_is_message), partial(_message, file, names or {}))


def _is_message(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], int) and path[:-1] in ((), ("messages",))


def _read_names(user: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return a dict with the names of a person, by the id of the person; empty without an id or names."""
    names = _names_of(read_object(user.get("profile")), user)
    return {user["id"]: names} if isinstance(user.get("id"), str) and names else {}


def _names_of(*fields: Mapping[str, Any]) -> list[Any]:
    keys = ("display_name", "real_name", "name")
    return [each[key] for key in keys for each in fields if each.get(key)]


def _message(file: DataFile, names: Names, item: Item) -> ChatMessage | None:
    if not _is_message(item.path):
        return None
    fields = read_object(item.value)
    me = file.options.me
    is_bot = fields.get("subtype") == "bot_message" or "bot_id" in fields or fields.get("user") == "USLACKBOT"
    sender = _sender(fields, names, me)
    if is_bot and not is_same_person(sender, me):
        file.notes.left_out["message of a bot"] += 1
        return None
    thread = fields.get("thread_ts")
    channel = PurePath(file.name).parent.as_posix()
    chat = channel if thread is None else f"{channel} {thread}"
    text = _clean(read_text(fields.get("text")) or "".join(_block_texts(fields.get("blocks"))), names)
    message = ChatMessage(item.number, chat, read_time(fields.get("ts")), sender, text)
    if fields.get("subtype") not in _TEXT_TYPES or fields.get("hidden") is True:
        return message._replace(kind="system")
    return message if text.strip() else message._replace(kind="media")


def _block_texts(blocks: Any, depth: int = 8) -> Iterator[str]:
    """Yield the texts in the blocks of a message, up to a nesting depth. They are used if the message has no text."""
    for block in blocks if isinstance(blocks, list) and depth else ():
        fields = read_object(block)
        text = fields.get("text")
        yield read_text(read_object(text).get("text") if isinstance(text, Mapping) else text)
        yield from _block_texts(fields.get("elements"), depth - 1)


def _sender(fields: Mapping[str, Any], names: Names, me: str | None) -> str:
    user = fields.get("user")
    known = names.get(user, ()) if isinstance(user, str) else ()
    profiles = [*map(read_object, (fields.get("user_profile"), fields.get("bot_profile")))]
    return choose_name([*known, *_names_of(*profiles), fields.get("username"), user, fields.get("bot_id")], me)


def _clean(text: str, names: Names) -> str:
    """Return a text with mentions replaced by the names of people and channels, and links by their visible text."""

    def replace(match: re.Match[str]) -> str:
        kind, target, label = match.groups()
        if kind == "@":
            return "@" + choose_name([*names.get(target, ()), label, target], None)
        if kind == "#":
            return f"#{label or target}"
        if kind == "!":
            return str(label) if label else "@" + target.partition("^")[0]
        return str(label or target)

    return html.unescape(_MARK.sub(replace, text))


SLACK = ChatFormat("slack", "Slack export", score, read_messages, combine=combine)
