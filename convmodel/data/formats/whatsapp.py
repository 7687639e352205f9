"""WhatsApp's text export, of Android (`01/05/2024, 10:00 - Ida: Hello`) and iOS (`[01.05.24, 10:00:00] Ida: Hello`).

The form of dates and times is that of the phone's region. Whether the day or the month comes first is decided for the
whole file: by a number above 12, or else by the order in which time does not run backwards.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_format import ChatFormat
from convmodel.data.chat_lines import read_lines
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Problem


def _stamp_pattern(prefix: str) -> str:
    """Return the pattern of date and time; the names of its groups begin with a prefix."""
    pattern = (
        r"(?P<a>\d{1,4})(?P<mark>[./-])\s?(?P<b>\d{1,2})(?P=mark)\s?(?P<c>\d{1,4})\.?,?\s+(?:(?:klo|kl\.?|um|at|à)\s)?"
        r"(?:(?P<early>上午|午前|오전|凌晨|早上)|(?P<late>下午|午後|오후|晚上|中午))?\s?"
        r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?"
        r"(?:\s?(?:(?P<half>[AaPp])\.?\s?[Mm]\.?|(?P<am>ص)|(?P<pm>م)))?"
    )
    return pattern.replace("?P<", f"?P<{prefix}").replace("?P=", f"?P={prefix}")


_LINE = re.compile(
    rf"[\u200e\u200f]*(?:\[{_stamp_pattern('ios_')}\]|{_stamp_pattern('android_')}\s[-–])\s(?P<rest>.*)", re.DOTALL
)
_SENDER = re.compile(r"[\u200e\u200f~\s]*(?P<sender>[^:\n]{1,100}?)[\u200e\u200f]*:(?: (?P<text>.*)|)", re.DOTALL)

_MEDIA = re.compile(
    r"\s*(?:<[^<>\n]{0,30}\b(?:media|medien|multimedia|médias|mídia|mídias|медиа|медиафайл|medya|multimédia)\b[^<>\n]{0,30}>"
    r"|<(?:attached|anhang|adjunto|pièce jointe|allegato|anexado|anexo|bijlage|вложение)\s?:[^<>\n]*>"
    r"|[^\n]{1,100}\((?:file attached|datei angehängt|archivo adjunto|fichier joint|file allegato|arquivo anexado"
    r"|bestand bijgevoegd|ficheiro anexado|файл добавлен|dosya ekli)\).*"
    r"|(?:gif|image|video|audio|sticker|document|contact card|bild|videonotiz|dokument|kontaktkarte|imagen|vídeo"
    r"|documento|imagem|figurinha|tarjeta de contacto|vidéo|immagine|adesivo|afbeelding|video note|fichier)"
    r" (?:omitted|weggelassen|omitid[oa]|absente?|omess[oa]|ocultad[oa]|weggelaten|не добавлен)"
    r"|<[^<>\n]*(?:omitted|ausgeschlossen|weggelassen|omitid[oa]|omis|omess[io]|oculto|weggelaten|省略|생략)[^<>\n]*>)\s*",
    re.IGNORECASE | re.DOTALL,
)
_DELETED = re.compile(
    r"\s*(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht"
    r"|du hast diese nachricht gelöscht|se eliminó este mensaje|eliminaste este mensaje|ce message a été supprimé"
    r"|vous avez supprimé ce message|questo messaggio è stato eliminato|hai eliminato questo messaggio"
    r"|mensagem apagada|essa mensagem foi apagada|você apagou esta mensagem|dit bericht is verwijderd|null"
    r"|missed (?:voice|video) call|verpasster (?:sprach|video)anruf|llamada perdida|appel manqué|chiamata persa"
    r"|chamada perdida)\.?\s*",
    re.IGNORECASE,
)
_EDITED = re.compile(
    r"[\s\u200e]*<[^<>\n]*(?:edited|bearbeitet|edit[óo]|editad[ao]|modifié|modificato|bewerkt|изменено)[^<>\n]*>\s*$"
)

_Order = Literal["day", "month"]


class _Stamp(NamedTuple):
    """Date and time of a line as written.

    Args:
        numbers: the three numbers of the date.
        clock: hour, minute and second, of 24 hours.
        has_halves: whether the clock has 12 hours.
    """

    numbers: tuple[int, int, int]
    clock: tuple[int, int, int]
    has_halves: bool

    def time(self, order: _Order) -> float:
        """Return the time in seconds.

        Raises:
            ValueError: when there is no such day or time.
        """
        first, second, third = self.numbers
        if first > 31:
            date = (first, second, third)
        elif order == "day":
            date = (third, second, first)
        else:
            date = (third, first, second)
        year = date[0] + 2000 * (date[0] < 100)
        moment = datetime.datetime(year, date[1], date[2], *self.clock)
        return (moment - datetime.datetime(1970, 1, 1)).total_seconds()


def score(head: Head) -> Certainty:
    """Return the certainty: the first line begins with date and time. No program writes `.md`, but others do."""
    is_stamped = _parse_stamp(head.lines[0]) is not None
    sure = Certainty.LIKELY if head.file.suffix == ".md" else Certainty.SURE
    return sure if is_stamped else Certainty.NONE


def read_messages(file: DataFile) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of an export. Lines without a date belong to the message before them."""
    order = _find_order(file)

    def begin(number: int, text: str, last: str) -> ChatMessage | None:
        parsed = _parse_stamp(text)
        if parsed is None:
            return None
        try:
            return _message(number, file.name, parsed[0].time(order), parsed[1])
        except ValueError as error:
            raise ValueError(f"the line has no valid date ({error}); correct it, or remove the message") from None

    return read_lines(file, begin, _classify)


def _message(number: int, chat: str, time: float, rest: str) -> ChatMessage:
    match = _SENDER.match(rest)
    if match is None:
        return ChatMessage(number, chat, time, "", rest, "system")
    return ChatMessage(number, chat, time, match["sender"].strip(), match["text"] or "")


def _classify(message: ChatMessage) -> ChatMessage:
    """Return a whole message with its kind, without marks of the program."""
    text = message.text
    if message.kind == "system":
        return message
    if _DELETED.fullmatch(text.strip("\u200e\u200f ")):
        return message._replace(kind="system")
    # Texts of the iOS program begin with this mark.
    if text.startswith("\u200e") or _MEDIA.fullmatch(text):
        return message._replace(kind="media" if _is_short(text) else "system")
    cleaned = _EDITED.sub("", text).replace("\u200e", "").strip()
    return message._replace(text=cleaned, kind="text" if cleaned else "media")


def _is_short(text: str) -> bool:
    return len(text) < 40 or "<" in text


def _parse_stamp(text: str) -> tuple[_Stamp, str] | None:
    """Return date and time of a line, and the rest of it; None if it has none."""
    match = _LINE.match(text)
    if match is None and "\u200f" in text[:40]:  # of Arabic and Hebrew phones
        match = _LINE.match(text.replace("\u200f", "").replace("\u060c", ","))
    if match is None:
        return None
    prefix = "ios_" if match["ios_a"] else "android_"

    def group(name: str) -> Any:
        return match[prefix + name]

    hour = int(group("hour"))
    late = group("late") or group("pm") or (group("half") or "").lower() == "p"
    early = group("early") or group("am") or (group("half") or "").lower() == "a"
    if late or early:
        hour = hour % 12 + 12 * bool(late)
    clock = (hour, int(group("minute")), int(group("second") or 0))
    numbers = (int(group("a")), int(group("b")), int(group("c")))
    return _Stamp(numbers, clock, bool(late or early)), match["rest"]


def _find_order(file: DataFile) -> _Order:
    """Return whether the day or the month comes first in a file, and add it to the notes if it had to be guessed."""
    orders: tuple[_Order, _Order] = ("day", "month")
    backwards = dict.fromkeys(orders, 0)
    impossible = dict.fromkeys(orders, 0)
    last: dict[_Order, float] = {}
    has_halves = False
    for line in file.lines():
        parsed = _parse_stamp(line.text)
        if parsed is None:
            continue
        has_halves = has_halves or parsed[0].has_halves
        for order in orders:
            try:
                time = parsed[0].time(order)
            except ValueError:
                impossible[order] += 1
                continue
            backwards[order] += time < last.get(order, time)
            last[order] = time
    if impossible["day"] != impossible["month"]:
        return min(orders, key=impossible.__getitem__)
    if backwards["day"] != backwards["month"]:
        return min(orders, key=backwards.__getitem__)
    guess: _Order = "month" if has_halves else "day"
    if last.get("day") != last.get("month"):
        file.notes.add(f"dates taken to begin with the {guess}")
    return guess


WHATSAPP = ChatFormat("whatsapp", "WhatsApp chat", score, read_messages)
