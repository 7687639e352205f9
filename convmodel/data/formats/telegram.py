"""Telegram's `result.json`, exported by Telegram Desktop (1.x to 5.x) as "Machine-readable JSON".

The export of one chat is one object with `messages`; the export of an account has the chats in `chats.list` and
`left_chats.list`. Messages are in the order of their time. A text is a string, or a list of strings and entities
(links, bold text). An export has only the last version of an edited message, and only the id of a quoted message.
"""

from functools import partial

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import choose_name, first_object, read_object, read_text, read_time
from convmodel.data.chat_format import ChatFormat, Messages, make_messages
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Item
from convmodel.data.json_stream import Path

_ACCOUNT_KEYS = ("personal_information", "frequent_contacts", "left_chats")


def score(head: Head) -> Certainty:
    """Return SURE for an object with messages or chats that have Telegram's fields, and NONE otherwise."""
    value = head.value
    if not isinstance(value, dict):
        return Certainty.NONE
    if "Telegram" in read_text(value.get("about")) or any(key in value for key in _ACCOUNT_KEYS):
        return Certainty.SURE
    chat = first_object(read_object(value.get("chats")).get("list")) or value
    message = first_object(chat.get("messages"))
    is_message = message.get("type") in ("message", "service") and "date" in message
    if not message and chat.get("messages") == [] and {"name", "type", "id"} <= chat.keys():
        return Certainty.SURE
    return Certainty.SURE if is_message and ("id" in message or "from" in message) else Certainty.NONE


def read_messages(file: DataFile) -> Messages:
    """Yield the messages of an export of one chat or of an account."""
    return make_messages(file.values(_is_message), partial(_message, file))


def _is_message(path: Path) -> bool:
    return len(path) >= 2 and path[-2] == "messages" and isinstance(path[-1], int)


def _message(file: DataFile, item: Item) -> ChatMessage | None:
    if not _is_message(item.path):
        return None
    chat = "/".join(map(str, (file.name, *item.path[:-2])))
    fields = read_object(item.value)
    time = read_time(fields.get("date"), fields.get("date_unixtime"))
    sender = choose_name([fields.get("from"), fields.get("from_id")], file.options.me)
    text = read_text(fields.get("text")) or read_text(fields.get("text_entities"))
    if not text.strip():
        text = read_text(fields.get("sticker_emoji"))
    message = ChatMessage(item.number, chat, time, sender, text)
    if fields.get("type", "message") != "message":
        return message._replace(kind="system")
    return message if text.strip() else message._replace(kind="media")


TELEGRAM = ChatFormat("telegram", "Telegram export", score, read_messages)
