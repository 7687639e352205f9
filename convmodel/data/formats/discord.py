"""Discord chats exported by DiscordChatExporter (2.x) as JSON or CSV, one file for each channel or part of one.

An export has only the last version of an edited message, and only the id of a quoted message. Messages of bots are
left out, unless the model replies as the bot.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_dates import find_order
from convmodel.data.chat_fields import (
    choose_name,
    first_object,
    parse_form,
    parse_time,
    read_object,
    read_text,
    read_time,
    refuse_time,
)
from convmodel.data.chat_format import ChatFormat, Messages, make_messages, sort_files
from convmodel.data.chat_stamps import Order, parse_date_time
from convmodel.data.data_file import DataFile, Head, Notes
from convmodel.data.formats.base import Certainty, Item
from convmodel.data.json_stream import Path
from convmodel.data.people import is_same_person
from convmodel.data.tables import TableHeader, find_header, read_table

_COLUMNS = {"author", "date", "content"}
_TEXT_TYPES = ("Default", "Reply", "0", "19")
_EMOJI = re.compile(r"<a?(:\w+:)\d+>")
_MENTION = re.compile(r"<@!?(\d+)>")
_TAG = re.compile(r"#\d{4}$")
_CSV_TIMES = ("%d-%b-%y %I:%M %p", "%d-%b-%y %H:%M")
"""Formats of times in older versions. Newer versions write times in ISO format, or in the form of a country."""


def score(head: Head) -> Certainty:
    """Return SURE for a guild or channel with messages, or for the header of the CSV form, and NONE otherwise."""
    if find_header(head.lines, ",", _has_columns) is not None:
        return Certainty.SURE
    value = head.value
    if not isinstance(value, dict) or "messages" not in value:
        return Certainty.NONE
    message = first_object(value["messages"])
    is_known = isinstance(message.get("author"), dict) and "content" in message
    is_channel = "guild" in value or "channel" in value
    is_export = {"guild", "channel"} <= value.keys()
    return Certainty.SURE if is_export or (is_channel and is_known) else Certainty.NONE


def read_messages(file: DataFile) -> Messages:
    """Yield the messages of one file."""
    head = file.head
    is_json = not head.lines or head.lines[0].lstrip().startswith("{")
    return _read_json(file) if is_json else _read_csv(file)


def _read_json(file: DataFile) -> Messages:
    channel = file.name

    def make(item: Item) -> ChatMessage | None:
        nonlocal channel
        if item.path == ("channel", "id"):
            channel = f"channel {item.value}"
        return _json_message(item, channel, file) if _is_message(item.path) else None

    return make_messages(file.values(_is_message), make)


def _is_message(path: Path) -> bool:
    return len(path) == 2 and path[0] == "messages"


def _json_message(item: Item, channel: str, file: DataFile) -> ChatMessage | None:
    fields = read_object(item.value)
    author = read_object(fields.get("author"))
    sender = choose_name([author.get("nickname"), author.get("name"), author.get("id")], file.options.me)
    if author.get("isBot") is True and not is_same_person(sender, file.options.me):
        file.notes.left_out["message of a bot"] += 1
        return None
    forwarded = read_object(fields.get("forwardedMessage"))
    text = _clean(read_text(fields.get("content")) or read_text(forwarded.get("content")), fields)
    message = ChatMessage(item.number, channel, read_time(fields.get("timestamp")), sender, text)
    if str(fields.get("type", "Default")) not in _TEXT_TYPES:
        return message._replace(kind="system")
    return message if text.strip() else message._replace(kind="media")


def _clean(text: str, fields: Mapping[str, Any]) -> str:
    """Return a text in which names replace the ids of mentioned persons and of emoji."""
    mentions = fields.get("mentions")
    persons = map(read_object, mentions if isinstance(mentions, list) else ())
    people = {str(person.get("id")): person for person in persons}

    def name(match: re.Match[str]) -> str:
        person = people.get(match[1])
        return f"@{choose_name([person.get('nickname'), person.get('name')], None)}" if person else match[0]

    return _EMOJI.sub(r"\1", _MENTION.sub(name, text))


def _read_csv(file: DataFile) -> Messages:
    stamps = (parse_date_time(_fields(row)["date"]) for row in _rows(file) if row.problem is None)
    order, is_guessed = find_order(stamp for stamp in stamps if stamp is not None)
    if is_guessed:
        file.notes.add(f"dates taken to begin with the {order}")
    return make_messages(_rows(file, file.notes), lambda row: _csv_message(row, order, file))


def _rows(file: DataFile, notes: Notes | None = None) -> Iterator[Item]:
    limit = file.options.line_limit
    return read_table(file.lines(), delimiters=",", check=_check_columns, limit=limit, notes=notes)


def _fields(row: Item) -> dict[str, str]:
    return {name.lower(): value for name, value in row.value.items()}


def _csv_message(row: Item, order: Order, file: DataFile) -> ChatMessage:
    fields = _fields(row)
    author = fields["author"]
    sender = choose_name([_TAG.sub("", author), author, fields.get("authorid")], file.options.me)
    text = _clean(fields["content"], {})
    message = ChatMessage(row.number, file.name, _csv_time(fields["date"], order), sender, text)
    return message if text.strip() else message._replace(kind="media")


def _has_columns(names: Any) -> bool:
    found = {name.strip().lower() for name in names}
    return found >= _COLUMNS and ("authorid" in found or {"attachments", "reactions"} <= found)


def _check_columns(table: TableHeader) -> None:
    missing = _COLUMNS - {name.lower() for name in table.names}
    if missing:
        raise ValueError(f"the header has no column {min(missing)!r}; export the channel again as CSV or JSON")


def _csv_time(text: str, order: Order) -> float | None:
    time = parse_time(text)
    stamp = parse_date_time(text)
    if time is not None or not text.strip():
        return time
    if stamp is not None:
        try:
            return stamp.time(order)
        except ValueError:
            refuse_time(text)
    time = parse_form(text, *_CSV_TIMES)
    return refuse_time(text) if time is None else time


DISCORD = ChatFormat("discord", "Discord export", score, read_messages, combine=sort_files)
