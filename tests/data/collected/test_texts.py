"""WhatsApp in many languages, subtitles, lines of speakers, and other text."""

# ruff: noqa: E501 - the inputs are lines of files

from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationReader
from tests.data.collected.trial import Trial, check, parametrize

AB = [("a", "b")]
ME: dict[str, Any] = {"me": "Bo"}
RLM = "\u200f"


def whatsapp(*stamps: str) -> str:
    return "".join(f"{stamp}{name}: {text}\n" for stamp, name, text in zip(stamps, ("Ida", "Bo"), "ab", strict=True))


STAMPS = [
    Trial("two-digit thai years", whatsapp("20/5/67 22:00 - ", "20/5/67 22:01 - "), AB, options=ME, summary="Thai"),
    Trial("persian digits", whatsapp("۱۴۰۳/۲/۳۱،\u200f ۲۲:۰۰ - ", "۱۴۰۳/۲/۳۱،\u200f ۲۲:۰۱ - "), AB, options=ME),
    Trial(
        "arabic marks",
        whatsapp(f"{RLM}١٣{RLM}/٠٥{RLM}/٢٠٢٤، ١٠:٠٠ م - ", f"{RLM}١٣{RLM}/٠٥{RLM}/٢٠٢٤، ١٠:٠١ م - "),
        AB,
        options=ME,
    ),
    Trial(
        "arabic ios",
        whatsapp(f"[١٣{RLM}/٥{RLM}/٢٠٢٤، ١٠:٠٠:٠٠ م] ", f"{RLM}[١٣{RLM}/٥{RLM}/٢٠٢٤، ١٠:٠١:٠٠ م] "),
        AB,
        options=ME,
    ),
    Trial("hebrew ios", whatsapp(f"{RLM}[13.5.2024, 22:00:00] ", "[13.5.2024, 22:01:00] "), AB, options=ME),
    Trial("hebrew 12 hours", whatsapp('13.5.2024, 10:00 אחה"צ - ', "13.5.2024, 10:01 אחה״צ - "), AB, options=ME),
    Trial("narrow spaces", whatsapp("5/13/24, 10:00\u202fPM - ", "5/13/24, 10:01\u202fPM - "), AB, options=ME),
    Trial("spanish halves", whatsapp("13/5/24, 10:00\u202fp.\u00a0m. - ", "13/5/24, 10:01 p. m. - "), AB, options=ME),
    Trial("turkish halves", whatsapp("13.05.2024 ÖS 10:00 - ", "13.05.2024 ÖS 10:01 - "), AB, options=ME),
    Trial("thai halves", whatsapp("13/5/2567 10:00 หลังเที่ยง - ", "13/5/2567 10:01 หลังเที่ยง - "), AB, options=ME),
    Trial("ukrainian halves", whatsapp("13.05.24, 10:00 пп - ", "13.05.24, 10:01 пп - "), AB, options=ME),
    Trial("hungarian", whatsapp("2024. 05. 13. 22:00 - ", "2024. 05. 13. 22:01 - "), AB, options=ME),
    Trial(
        "halves change within the file", whatsapp("13/05/2024, 11:59 am - ", "13/05/2024, 12:01 pm - "), AB, options=ME
    ),
    Trial(
        "a bad date of several lines",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ") + "99/05/2024, 10:02 - Bo: x\ny\nz\n",
        AB,
        options=ME,
        error="conversations:3: .*'99/05/2024, 10:02'",
        skipped=1,
    ),
]


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        *(("20/5/67 22:00", "2024-05-20T22:00:00"), ("[20/5/67 22:00:00]", "2024-05-20T22:00:00")),
        *(("1/2/55, 10:00", "2012-02-01T10:00:00"), ("13/5/2567 10:00 หลังเที่ยง", "2024-05-13T22:00:00")),
        *(("13.05.2024 ÖS 10:00", "2024-05-13T22:00:00"), ("13.05.2024 10:00 ÖÖ", "2024-05-13T10:00:00")),
        *(('13.5.2024, 10:00 אחה"צ', "2024-05-13T22:00:00"), ("13.05.24, 10:00 пп", "2024-05-13T22:00:00")),
        *(("13.05.24, 10:00 ч. сл.об.", "2024-05-13T22:00:00"), ("2024. 05. 13. du. 10:00", "2024-05-13T22:00:00")),
    ],
)
def test_times(tmp_path: Path, stamp: str, time: str) -> None:
    separator = " " if stamp.startswith("[") else " - "
    (tmp_path / "x.txt").write_text(f"{stamp}{separator}Ida: a\n{stamp}{separator}Bo: b\n", encoding="utf-8")
    [conversation] = ConversationReader(tmp_path / "x.txt", me="Bo")
    assert conversation.meta == {"time": time}


REMARKS = [
    *("<Medya dahil edilmedi>", "<Медіа пропущено>", "<ไฟล์สื่อถูกลบ>", "<Bỏ qua Media>", "<Mediji so izpuščeni>"),
    *("<Без файл>", "<Uten vedlegg>", "<Walang kalakip na media>", "<Файл пропущен>", "<ficheiro não revelado>"),
    *(
        "<Pominięto multimedia>",
        "<忽略多媒體檔>",
        "<미디어 파일을 생략한 대화내용>",
        "<المرفق محذوف>",
        "<מדיה הושמטה>",
        "<رسانه حذف شد>",
    ),
    *(
        "plan.pdf (plik załączony)",
        "plan.pdf (bifogad fil)",
        "plan.pdf (الملف مرفق)",
        "plan.pdf (file terlampir)",
        "plan.pdf (添付ファイル)",
    ),
    *(
        "plan.vcf (fişier ataşat)",
        "plan.vcf (soubor byl přiložen)",
        "<załączony: 0001-PHOTO.jpg>",
        "<приложен: 0001-PHOTO.jpg>",
    ),
    *("\u200eвидео не добавлено", "\u200etarjeta de contacto omitida", "\u200eסטיקר הושמט", "\u200eimage omitted"),
    *(
        "POLL:\nLunch?\nOPTION: Yes (2 votes)\nOPTION: No (0 votes)",
        "ENCUESTA:\n¿Sí?\nOPCIÓN: Sí (1 voto)",
        "Voice call, No answer",
    ),
    *("Bu mesaj silindi", "Pesan ini telah dihapus", "הודעה זו נמחקה", "Це повідомлення видалено"),
    *(
        "Esta mensagem foi apagada",
        "Acest mesaj a fost șters",
        "Tato zpráva byla smazána",
        "Tin nhắn này đã bị xóa",
        "ข้อความนี้ถูกลบ",
        "این پیام حذف شد",
    ),
    *(
        "live location shared",
        "Konum: https://maps.google.com/?q=41.0,29.0",
        "You deleted this message as admin",
        "null",
    ),
]


@pytest.mark.parametrize("remark", REMARKS)
def test_remarks_in_the_place_of_messages(tmp_path: Path, remark: str) -> None:
    text = f"13/05/2024, 10:00 - Ida: a\n13/05/2024, 10:01 - Ida: {remark}\n13/05/2024, 10:02 - Bo: b\n"
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    reader = ConversationReader(tmp_path / "x.txt", me="Bo")
    assert [each.turns for each in reader] == AB
    assert reader.report.skipped_messages.total() == 1


SYSTEM = [
    *(
        "Messages and calls are end-to-end encrypted. Tap to learn more.",
        'Ida created group "Trip: Rome"',
        "Ida added Cy",
    ),
    *(
        "Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.",
        "Los mensajes y las llamadas están cifrados de extremo a extremo.",
    ),
    *(
        "Ida a modifié l’objet de « x: y » en « z »",
        "Ida cambió el asunto a “Viaje: Roma”",
        "Ida zmienił(a) temat na „Rzym: 2024”",
    ),
    *(
        "Ida Cy'yi ekledi",
        "الرسائل والمكالمات مشفرة تمامًا بين الطرفين.",
        "ההודעות והשיחות מוצפנות מקצה לקצה.",
        "Сообщения и звонки защищены сквозным шифрованием.",
    ),
    *(
        "Ida changed the group description",
        "Your security code with Ida changed. Tap to learn more.",
        "Ida 님이 그룹을 만들었습니다",
        "Idaが「旅: ローマ」を作成しました",
        "Ida heeft het onderwerp gewijzigd in ‘Reis: Rome’",
        "Ida bytte ämne till ”Resa: Rom”",
        "Ida, konuyu “Gezi: Roma” olarak değiştirdi",
    ),
]


@pytest.mark.parametrize("line", SYSTEM)
def test_system_lines(tmp_path: Path, line: str) -> None:
    text = f"13/05/2024, 10:00 - Ida: a\n13/05/2024, 10:01 - {line}\n13/05/2024, 10:02 - Bo: b\n"
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    reader = ConversationReader(tmp_path / "x.txt", me="Bo")
    assert [each.turns for each in reader] == AB
    assert reader.report.skipped_messages["system message"] == 1


@pytest.mark.parametrize(
    "text", ["<grin>", "see <this link>", "a < b and c > d", "plan.pdf (read it)", "<3 <3", "null und nichtig", "x (y)"]
)
def test_what_is_said(tmp_path: Path, text: str) -> None:
    chat = f"13/05/2024, 10:00 - Ida: {text}\n13/05/2024, 10:02 - Bo: b\n"
    (tmp_path / "x.txt").write_text(chat, encoding="utf-8")
    assert [each.turns for each in ConversationReader(tmp_path / "x.txt", me="Bo")] == [(text, "b")]


def srt(*cues: str) -> str:
    return "".join(f"{i}\n00:00:{i:02},000 --> 00:00:{i:02},900\n{cue}\n\n" for i, cue in enumerate(cues, 1))


SUBTITLES = [
    Trial(
        "srt tags and dashes",
        srt("{\\an8}<i>Who?</i>", "- Me.\n- Come in.", '<font color="#fff">Thanks.</font>'),
        [("Who?", "Me.", "Come in.", "Thanks.")],
    ),
    Trial("srt two speakers on a line", srt("Who?", "- Me. - Come in."), [("Who?", "Me.", "Come in.")]),
    Trial("srt names", srt("IDA: Who?", "BO: Me.", "BO: Really."), [("Who?", "Me.\nReally.")]),
    Trial("srt in utf-16 with crlf", srt("Who?", "Me.").replace("\n", "\r\n").encode("utf-16"), [("Who?", "Me.")]),
    Trial(
        "srt without numbers",
        "00:00:01,000 --> 00:00:02,000\nWho?\n\n00:00:02,500 --> 00:00:03,000\nMe.\n",
        [("Who?", "Me.")],
    ),
    Trial(
        "vtt voices, notes and styles",
        "WEBVTT - Talk\n\nSTYLE\n::cue { color: red }\n\nNOTE made\nby hand\n\n1\n00:01.000 --> 00:02.000 align:start position:0%\n<v Ida>Who?</v>\n\n2\n00:02.000 --> 00:03.000\n<v Bo>Me &amp; Cy.</v>\n\n00:03.000 --> 00:04.000\n<v Bo>Open!</v>\n",
        [("Who?", "Me & Cy.\nOpen!")],
    ),
    Trial(
        "vtt of meetings",
        "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nIda Berg: Who is there?\n\n2\n00:00:02.000 --> 00:00:03.000\nBo: Me.\n\n3\n00:00:03.000 --> 00:00:04.000\nBo: Open: now.\n\n4\n00:00:04.000 --> 00:00:05.000\nIda Berg: Yes.\n",
        [("Who is there?", "Me.\nOpen: now.", "Yes.")],
    ),
    Trial(
        "ass",
        "[Script Info]\nTitle: x\n\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Who?\n",
        error="format cannot be recognised",
        file="a.ass",
    ),
]

OTHERS = [
    Trial("speakers", "A: a\nB: b\n\nA: c\nB: d\n", [*AB, ("c", "d")]),
    Trial("speakers with times", "[10:00] Ida: a\n[10:01] Bo: b\n[10:02] Ida: c\n", [("a", "b", "c")]),
    Trial("speakers with clocks", "10:00 Ida: a\n10:01 Bo: b\n10:02 Ida: c\n", [("a", "b", "c")]),
    Trial("human and assistant", "Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d\n", [("a", "b", "c", "d")]),
    Trial("cyrillic speakers", "Ида: а\nБо: б\nИда: в\n", [("а", "б", "в")]),
    Trial("wide colons", "甲：a\n乙：b\n甲：c\n", [("a", "b", "c")]),
    Trial("markdown speakers", "**Ida:** a\n\n**Bo:** b\n\n**Ida:** c\n\n**Bo:** d\n", [("a", "b", "c", "d")]),
    Trial("tabs", "a\tb\tc\nd\te\n", [("a", "b", "c"), ("d", "e")]),
    Trial(
        "chatterbot",
        "categories:\n- AI\n- \"x\"\nconversations:\n- - a\n  - 'b'\n- - Yes\n  - 42\n",
        [*AB, ("Yes", "42")],
        file="ai.yml",
    ),
    Trial("chatterbot first", "conversations:\n  - - a\n    - b\ncategories:\n  - x\n", AB, file="ai.yml"),
    Trial(
        "cornell alone", "L1 +++$+++ u0 +++$+++ m0 +++$+++ IDA +++$+++ a\n", error="there is no movie_conversations.txt"
    ),
    Trial("eou", "a __eou__ b __eou__\nc __eou__ d __eou__\n", [*AB, ("c", "d")]),
    Trial("dialogpt", "0.0 a EOS 1.0 b\t1.0 c\n1.0 a\t0.0 x\n", [("a", "b", "c")], summary="1 line of weight 0"),
    Trial("numbered", "1 your persona: p\n2 a\tb\n1 c\td\n", [*AB, ("c", "d")], persona=["p"]),
    Trial("html named txt", "<!DOCTYPE html><html></html>", error="is a page of HTML", file="a.txt"),
    Trial(
        "xml", '<?xml version="1.0"?>\n<smses count="1"><sms body="a"/></smses>\n', error=r":1: is XML", file="sms.xml"
    ),
]


@parametrize([*STAMPS, *SUBTITLES, *OTHERS])
def test_texts(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)
