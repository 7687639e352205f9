"""Signal's messages as JSON, in the forms that several programs export.

- signal-cli (0.9 to 0.13), `--output=json`: one envelope a line, also as JSON-RPC. Edits and deletions are
  separate lines.
- Signal's own plain text export: frames of its backup (`Backup.proto` of libsignal), one a line.
- signal-export (3.x), `data.json`: one message a line with `date`, `sender` and `body`.
- Rows of Signal Desktop's database, of sigtop (`-f json`) and others: a list with `body` and `conversationId`.

Except in signal-cli's form, a file has only the last version of an edited message. The exporting person is called "Me",
unless the file has the name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import choose_name, first_object, read_object, read_text, read_time
from convmodel.data.chat_format import ChatFormat, Messages, make_messages, sort_files
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Item
from convmodel.data.json_stream import Path

ME = "Me"
_LISTS = ("messages", "messsages")  # one program writes the misspelt key
_DATABASE_TYPES = ("incoming", "outgoing")
_ROW_NAMES = (
    "conversationName",
    "sourceName",
    "profileName",
    "source",
    "sourceServiceId",
    "sourceUuid",
    "conversationId",
)
_FRAMES = ("account", "recipient", "chat", "chatItem")

Fields = Mapping[str, Any]


def score(head: Head) -> Certainty:
    """Return SURE if the first objects have the fields of one of the forms, and NONE otherwise."""
    first = _first_message(head.value)
    if find_form(first) is not None:
        return Certainty.SURE
    frames = map(read_object, map(head.line_value, head.lines))
    is_backup = "backupTimeMs" in first and any(_is_frame(frame) for frame in frames)
    return Certainty.SURE if is_backup or _is_frame(first) else Certainty.NONE


def find_form(fields: Fields) -> Callable[["SignalReader", Item], ChatMessage | None] | None:
    """Return the method of `SignalReader` that reads a message; None if it has none of the forms."""
    if _envelope(fields):
        return SignalReader.read_envelope
    if isinstance(fields.get("chatItem"), Mapping):
        return SignalReader.read_frame
    if {"date", "sender", "body"} <= fields.keys() and ("reactions" in fields or "attachments" in fields):
        return SignalReader.read_exported
    if "conversationId" in fields and ("sent_at" in fields or "timestamp" in fields):
        return SignalReader.read_row
    return None


def read_messages(file: DataFile) -> Messages:
    """Yield the messages of one file in the order of the file."""
    return make_messages(file.values(_take(file.head.value)), SignalReader(file).read)


def _take(value: Any) -> Callable[[Path], bool]:
    if isinstance(value, list):
        return lambda path: len(path) == 1
    is_nested = isinstance(value, dict) and any(isinstance(value.get(name), list) for name in _LISTS)
    return lambda path: not is_nested or (len(path) == 2 and path[0] in _LISTS)


def _first_message(value: Any) -> Fields:
    fields = first_object(value)
    nested = next((fields[name] for name in _LISTS if isinstance(fields.get(name), list)), None)
    return fields if nested is None else first_object(nested)


def _is_frame(fields: Fields) -> bool:
    return len(fields) == 1 and isinstance(fields.get(next(iter(fields))), dict) and next(iter(fields)) in _FRAMES


def _envelope(fields: Fields) -> Fields:
    """Return the envelope of a message of signal-cli; an empty object if it has none."""
    parameters = read_object(fields.get("params"))
    holders = (fields, parameters, read_object(parameters.get("result")))
    return next((read_object(holder["envelope"]) for holder in holders if "envelope" in holder), {})


class SignalReader:
    """Converter of the objects of a file to messages.

    Args:
        file: the file.
    """

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._names: dict[str, list[Any]] = {}
        self._changes = self._find_changes() if _envelope(_first_message(file.head.value)) else {}

    def read(self, item: Item) -> ChatMessage | None:
        """Return the message of an object; None for an object that only has names, which are collected."""
        fields = read_object(item.value)
        self._learn_names(fields)
        form = find_form(fields)
        return None if form is None else form(self, item)

    def read_envelope(self, item: Item) -> ChatMessage | None:
        """Return the message of an envelope of signal-cli: a received one, or one sent from another device.

        The result is None for reactions, edits and deletions.
        """
        envelope = _envelope(item.value)
        sent = read_object(read_object(envelope.get("syncMessage")).get("sentMessage"))
        data = sent or read_object(envelope.get("dataMessage"))
        if not data or "reaction" in data or "remoteDelete" in data or "editMessage" in data:
            return None
        chat = read_object(data.get("groupInfo")).get("groupId") or _address(sent or envelope)
        sender = choose_name([envelope.get("sourceName"), _address(envelope)], self._me)
        stamp = data.get("timestamp", envelope.get("timestamp"))
        text = self._changes.get((_address(envelope), str(stamp)), read_text(data.get("message")))
        time = read_time(stamp, envelope.get("timestamp"))
        message = self._message(item, str(chat), time, sender, text, data.get("sticker"))
        return message._replace(kind="system") if text is None else message

    def read_frame(self, item: Item) -> ChatMessage | None:
        """Return the message of a frame of a backup."""
        fields = read_object(item.value["chatItem"])
        sender = choose_name([*self._names.get(str(fields.get("authorId")), ()), fields.get("authorId")], self._me)
        standard = read_object(fields.get("standardMessage") or fields.get("directStoryReplyMessage"))
        text = read_object(read_object(standard.get("textReply") or standard).get("text")).get("body")
        sticker = read_object(fields.get("stickerMessage")).get("sticker")
        time = read_time(fields.get("dateSent"))
        message = self._message(item, f"chat {fields.get('chatId')}", time, sender, text, sticker)
        is_remark = "updateMessage" in fields or "remoteDeletedMessage" in fields
        return message._replace(kind="system") if is_remark else message

    def read_exported(self, item: Item) -> ChatMessage | None:
        """Return the message of an object of signal-export."""
        fields = item.value
        sender = choose_name([fields["sender"]], self._me)
        message = self._message(
            item, self._file.name, read_time(fields["date"]), sender, fields["body"], fields.get("sticker")
        )
        if fields.get("deleted") is True:
            return message._replace(kind="system")
        return message._replace(kind="media") if fields.get("call") is True else message

    def read_row(self, item: Item) -> ChatMessage | None:
        """Return the message of a row of Signal Desktop's database."""
        fields = item.value
        names = [fields.get(key) for key in _ROW_NAMES]
        sender = ME if fields.get("type") == "outgoing" else choose_name(names, self._me)
        time = read_time(fields.get("sent_at") or None, fields.get("timestamp"))
        chat = f"{self._file.name} {fields['conversationId']}"
        message = self._message(item, chat, time, sender, fields.get("body"), fields.get("sticker"))
        is_said = fields.get("type") in _DATABASE_TYPES and not fields.get("deletedForEveryone")
        return message if is_said else message._replace(kind="system")

    @property
    def _me(self) -> str | None:
        return self._file.options.me

    def _message(self, item: Item, chat: str, time: float | None, sender: str, text: Any, sticker: Any) -> ChatMessage:
        said = read_text(text)
        said = said if said.strip() else read_text(read_object(sticker).get("emoji"))
        return ChatMessage(item.number, chat, time, sender, said, "text" if said.strip() else "media")

    def _learn_names(self, fields: Fields) -> None:
        """Store the names of the person whom a frame of a backup describes."""
        recipient = read_object(fields.get("recipient"))
        contact = read_object(recipient.get("contact"))
        if "self" in recipient:
            self._names[str(recipient.get("id"))] = [*self._names.get(ME, ()), ME]
        elif contact:
            self._names[str(recipient.get("id"))] = _contact_names(contact)
        elif isinstance(fields.get("account"), Mapping):
            self._names[ME] = _contact_names(fields["account"])

    def _find_changes(self) -> dict[tuple[str, str], str | None]:
        """Return the last text of each edited message, and None for each deleted one, by sender and time."""
        changes: dict[tuple[str, str], str | None] = {}
        for item in self._file.values(_take(self._file.head.value)):
            envelope = _envelope(read_object(item.value))
            sent = read_object(read_object(envelope.get("syncMessage")).get("sentMessage"))
            edit = read_object(sent.get("editMessage") or envelope.get("editMessage"))
            data = read_object(edit.get("dataMessage"))
            deleted = read_object((sent or read_object(envelope.get("dataMessage"))).get("remoteDelete"))
            if edit:
                changes[_address(envelope), str(edit.get("targetSentTimestamp"))] = read_text(data.get("message"))
            elif deleted:
                changes[_address(envelope), str(deleted.get("timestamp"))] = None
        return changes


def _address(fields: Fields) -> str:
    """Return the phone number or id of the sender of an envelope, or of the receiver of a sent message."""
    keys = [kind + key for kind in ("source", "destination") for key in ("Number", "", "Uuid")]
    return choose_name([fields.get(key) for key in keys], None)


def _contact_names(fields: Fields) -> list[Any]:
    """Return the names of a person: nickname, name in the address book, name in the profile, user name, number."""
    nickname = read_object(fields.get("nickname"))
    pairs = [(nickname.get("given"), nickname.get("family"))]
    pairs += [(fields.get(f"{kind}GivenName"), fields.get(f"{kind}FamilyName")) for kind in ("system", "profile")]
    pairs += [(fields.get("givenName"), fields.get("familyName"))]
    names = [" ".join(part for part in pair if isinstance(part, str) and part) for pair in pairs]
    return [*names, fields.get("username"), fields.get("e164")]


SIGNAL = ChatFormat("signal", "Signal messages", score, read_messages, combine=sort_files)
