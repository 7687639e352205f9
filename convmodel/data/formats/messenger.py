"""Messages of Facebook Messenger and Instagram: `message_1.json` and so on, of "Download your information" as JSON.

Meta's files contain UTF-8 that was decoded as Latin-1 ("TrÃ¨s"); this is undone. Messages are stored newest first, with
10,000 in a file. All files of one folder are one chat. Two other exports, which have other names for the same fields,
are read too: that of encrypted chats (`senderName`), and Instagram's first one, `messages.json` of 2018 and 2019
(`sender`), which is a list of chats.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import choose_name, first_object, is_companion, read_object, read_text, read_time
from convmodel.data.chat_format import ChatFormat, Messages, ReadMessages, chain_files, make_messages
from convmodel.data.chat_order import sort_messages
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Item
from convmodel.data.json_stream import Path

_COMPANIONS = (
    *("autofill_information.json", "secret_conversations.json", "secret_groups.json", "support_messages.json"),
    *("reported_conversations.json", "your_cross-app_messaging_settings.json", "your_chat_settings_on_web.json"),
)
"""Files of the export that hold no messages."""

_SENDERS = ("sender_name", "senderName", "sender")
_TIMES = ("timestamp_ms", "timestamp", "created_at")
_KEYS = ({"sender_name"}, {"senderName", "timestamp"}, {"sender", "created_at"})
"""The keys by which a message is recognised, for each of the three exports."""

_NUMBER = re.compile(r"_\d+(?=\.json)", re.IGNORECASE)
_LATIN = re.compile("[\x80-\xff]{2,}")
_MEDIA_KEYS = ("photos", "videos", "audio_files", "gifs", "sticker", "files", "media", "call_duration")

_SENT = re.compile(
    r".{0,100}\b(?:sent|shared|gesendet|geteilt|envió|enviaste|enviado|envoyé|partagé|inviato|enviou|verzonden)\b.{0,100}\.",
    re.IGNORECASE,
)
"""A text that Messenger writes for a message with an attachment."""

_ATTACHMENT = re.compile(
    r".{0,80}\b(?:sent|shared) (?:an?|\d+|your) (?:attachment|photo|video|voice message|sticker|GIF|link|live location"
    r"|location|story|post|reel|file|audio)s?\."
    r"|.{0,80}\bhas?t (?:einen?|ein|\d+) (?:Anhang|Fotos?|Videos?|Sprachnachricht|Sticker|GIF|Link)"
    r" (?:gesendet|geteilt)\."
    r"|(?:.{0,80} )?(?:envió|enviaste|enviado) una? (?:archivo adjunto|foto|vídeo|video|enlace)\."
    r"|.{0,80} (?:envoyé une (?:pièce jointe|photo|vidéo)|inviato un allegato|enviou uma? (?:anexo|foto|vídeo))\."
    r"|.{0,80} sent (?:you )?a (?:GIF|photo|video|sticker|voice message)\.",
    re.IGNORECASE,
)
"""A text that Messenger writes for an attachment, recognised even if the message has no field for the attachment."""

_CALL = r"(?:video |audio |voice )?(?:call|chat)"
_REMARK = re.compile(
    r"liked a message|reacted .{1,12} to (?:your|a|their|his|her) message ?|hat mit .{1,12} auf .{1,40} reagiert ?"
    rf"|(?:the )?{_CALL} (?:has )?ended\.?|this (?:message|poll) (?:was|is) .{{1,30}}\."
    r"|you (?:can now|are now|are also now) .{1,160}\.|say hi to .{1,80}\.?"
    rf"|.{{0,80}}\bmissed (?:a|your) {_CALL}(?: (?:from|with) .{{1,60}})?\."
    r"|.{1,80} wasn't notified about this message .{1,80}|du hast einen (?:video)?anruf von .{1,60} verpasst\."
    r"|der (?:video|audio)?(?:chat|anruf) (?:ist|wurde) beendet\.",
    re.IGNORECASE,
)
"""A text that Messenger writes about a reaction, a call or the group."""

_DEED = re.compile(
    rf".{{0,80}}\b(?:unsent a message|called (?:you|.{{1,60}})|(?:started|joined|left) (?:an?|the) {_CALL}"
    r"|(?:named|left|created) the group.{0,80}|voted for .{1,120}|pinned a message|started sharing .{0,20}location"
    r"|(?:set|changed|cleared|removed) (?:the|your|his|her|their|a) .{0,20}"
    r"(?:nickname|theme|quick reaction|emoji|photo).{0,80}"
    r"|added .{1,60} to the group|removed .{1,60} from the group|created a poll.{0,80}|turned o(?:n|ff) .{1,40}"
    r"|waved at .{1,60}|hat (?:dich|.{1,40}) angerufen|hat die gruppe (?:erstellt|verlassen)"
    r"|hat .{1,60} (?:zur gruppe hinzugefügt|aus der gruppe entfernt)|hat .{1,40} nachricht .{1,12} reagiert"
    r"|a réagi .{1,12} à .{1,40}|vous a appelé(?:\(?e\)?)?|a (?:créé|quitté) le groupe"
    r"|ha reaccionado con .{1,12} a .{1,40}"
    r"|te ha llamado|ha (?:creado|abandonado) el grupo)[.?]?",
    re.IGNORECASE,
)
"""A text that Messenger writes about an action of the sender, such as "Ida left the group"."""

_SELF = ("You", "Du", "Tú", "Has", "Enviaste", "Vous", "Hai", "Você", "Je")


def score(head: Head) -> Certainty:
    """Return SURE if the messages have the keys of one of the exports, or the file is another file of the export."""
    value = head.value
    if is_companion(head, dict.fromkeys(_COMPANIONS, "")):
        return Certainty.SURE
    chat = first_object(value)
    message = first_object(chat.get("messages") if isinstance(value, dict) else chat.get("conversation"))
    is_known = any(keys <= message.keys() for keys in _KEYS)
    is_empty = not message and {"participants", "messages", "thread_path"} <= chat.keys()
    return Certainty.SURE if is_known or is_empty else Certainty.NONE


def combine(files: Sequence[DataFile], read: ReadMessages) -> Messages:
    """Yield the messages of all files, sorted by chat and time."""
    return sort_messages(chain_files(files, read), newest_first=True)


def read_messages(file: DataFile) -> Messages:
    """Yield the messages of one file in the order of the file."""
    chat = _NUMBER.sub("", "/".join(PurePath(file.name).parts[-2:]))
    return make_messages(file.values(_is_message), partial(_message, chat, file.options.me))


def mend(text: str) -> str:
    """Repair UTF-8 that was decoded as Latin-1: "TrÃ¨s" becomes "Très". Other text is unchanged."""
    return _LATIN.sub(_mend_run, text)


def _mend_run(match: re.Match[str]) -> str:
    try:
        return match[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def _is_message(path: Path) -> bool:
    return (len(path) == 2 and path[0] == "messages") or (len(path) == 3 and path[1] == "conversation")


def _message(chat: str, me: str | None, item: Item) -> ChatMessage | None:
    if not _is_message(item.path):
        return None
    fields = read_object(item.value)
    time = read_time(*map(fields.get, _TIMES))
    sender = choose_name([mend(read_text(fields.get(key))) for key in _SENDERS], me)
    text = mend(read_text(fields.get("content", fields.get("text"))))
    message = ChatMessage(item.number, f"{chat} {item.path[0]}", time, sender, text)
    if fields.get("is_unsent") or fields.get("isUnsent") or _is_remark(sender, text.strip()):
        return message._replace(kind="system")
    return message._replace(kind="media") if _is_media(fields, sender, text.strip()) else message


def _is_remark(sender: str, text: str) -> bool:
    """Return whether Messenger wrote a text. A text about an action must begin with the sender's name or "You"."""
    if _REMARK.fullmatch(text):
        return True
    return text.startswith((*_SELF, sender.split()[0])) and _DEED.fullmatch(text) is not None


def _is_media(fields: Mapping[str, Any], sender: str, text: str) -> bool:
    """Return whether a message has only media. Its text is then empty, or like "Ida sent an attachment."."""
    if not text:
        return True
    if not text.startswith((*_SELF, sender.split()[0])):
        return False
    has_media = any(fields.get(key) for key in _MEDIA_KEYS)
    return (_SENT if has_media or fields.get("share") else _ATTACHMENT).fullmatch(text) is not None


MESSENGER = ChatFormat("messenger", "Messenger or Instagram messages", score, read_messages, combine=combine)
