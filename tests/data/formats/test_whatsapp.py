"""WhatsApp's text export: both programs, forms of dates, messages of several lines, and what has no text."""

from pathlib import Path
from typing import Any

import pytest

from convmodel.data.containers import InputFile
from convmodel.data.conversation import Conversation, ConversationFileError, ConversationReader
from convmodel.data.data_file import DataFile
from convmodel.data.formats.base import Problem
from convmodel.data.formats.whatsapp import read_messages
from convmodel.data.options import ReadOptions

ANDROID = (
    "31/12/2023, 23:58 - Messages and calls are end-to-end encrypted.\n"
    "31/12/2023, 23:58 - Ida: Are you there?\n"
    "31/12/2023, 23:59 - Bo: Yes:\nreally\n\n- and truly.\n"
    "01/01/2024, 00:00 - Ida: <Media omitted>\n"
    "01/01/2024, 00:01 - Ida: Look!\n"
    "01/01/2024, 00:02 - Bo: Nice <This message was edited>\n"
)
IOS = (
    "\u200e[24.12.23, 18:03:11] Ida & Bo: \u200eMessages and calls are end-to-end encrypted. Nobody can read them.\n"
    "[24.12.23, 18:03:12] Ida: Hello\n"
    "\u200e[24.12.23, 18:03:30] Bo: \u200eBild weggelassen\n"
    "[24.12.23, 18:04:00] Bo: Hi \u200e<Diese Nachricht wurde bearbeitet.>\n"
)


def times(folder: Path, *stamps: str) -> list[Any]:
    (folder / "x.txt").write_text("".join(f"{stamp} - Ida: x\n" for stamp in stamps), encoding="utf-8")
    found = read_messages(DataFile(InputFile(str(folder / "x.txt")), ReadOptions()))
    return [each.message if isinstance(each, Problem) else each.time for each in found]


def test_an_android_export_is_read(reader: Any) -> None:
    made = reader(ANDROID, me="Bo")
    assert made.format == "whatsapp"
    turns = ["Are you there?", "Yes:\nreally\n\n- and truly.", "Look!", "Nice"]
    assert list(made) == [Conversation(turns, meta={"time": "2023-12-31T23:58:00"})]
    assert made.report.summary().endswith(": WhatsApp chat, 1 conversation; 1 media message, 1 system message left out")


def test_an_ios_export_is_read(reader: Any) -> None:
    made = reader(IOS.replace("\n", "\r\n"), me="bo")
    assert [each.turns for each in made] == [("Hello", "Hi")]
    assert made.report.skipped_messages == {"media message": 1, "system message": 1, "unanswered message": 0}


def test_without_me_the_names_are_listed(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r"there are Ida \(2 messages\), Bo \(2 messages\)"):
        list(reader(ANDROID, on_error="skip"))


@pytest.mark.parametrize(
    ("stamps", "seconds"),
    [
        (["01/02/1970, 00:00", "13/02/1970, 00:00"], [31 * 86400, 43 * 86400]),
        (["02/01/1970, 00:00", "02/13/1970, 00:00"], [31 * 86400, 43 * 86400]),
        (["2/1/1970, 12:00 AM"], [31 * 86400]),  # 12-hour clocks: the month first
        (["1970-02-01, 00:00:01"], [31 * 86400 + 1]),
        (["01.02.1970 0.00", "02.02.1970 0.00", "01.03.1970 0.00"], [31 * 86400, 32 * 86400, 59 * 86400]),
        (["1970/2/1 午後0:30"], [31 * 86400 + 45_000]),
        (["01/02/1970, 1:05\u202fp.\u00a0m.", "14/02/1970, 1:05 a. m."], [31 * 86400 + 47_100, 44 * 86400 + 3900]),
    ],
)
def test_day_and_month_are_told_apart_by_the_whole_file(tmp_path: Path, stamps: list[str], seconds: Any) -> None:
    found = times(tmp_path, *stamps)
    assert found == seconds


@pytest.mark.parametrize(
    ("stamp", "hour"),
    [
        *(("13.05.1970, 10:00 -", 10), ("13/5/1970, 10:00 p.\u00a0m. -", 22), ("1970. 05. 13. 10:00 -", 10)),
        *(("1970. 5. 13. 오후 10:00 -", 22), ("13.5.1970 klo 10.00 -", 10), ("[1970/05/13, 10:00:00 PM]", 22)),
        *(("[13-05-1970 10:00:00]", 10), ("1970-05-13 kl. 10:00 -", 10), ("13/05/1970, 12:00 am –", 0)),
        ("١٣\u200f/٠٥\u200f/١٩٧٠\u060c ١٠:٠٠ م -", 22),
    ],
)
def test_the_forms_of_regions_are_known(tmp_path: Path, stamp: str, hour: int) -> None:
    (tmp_path / "x.txt").write_text(f"{stamp} ~ Ida Bo: x", encoding="utf-8")
    [message] = read_messages(DataFile(InputFile(str(tmp_path / "x.txt")), ReadOptions()))
    assert not isinstance(message, Problem) and (message.sender, message.text) == ("Ida Bo", "x")
    assert message.time == 132 * 86_400 + hour * 3600


def test_the_year_may_come_first_and_a_guess_is_told(reader: Any) -> None:
    chat = "".join(
        f"{day}, 10:0{i} - {name}: x\n" for day in ("24/01/12", "24/01/31") for i, name in enumerate(("Ida", "Bo"))
    )
    made = reader(chat, me="Bo")
    assert [(each.meta or {})["time"] for each in made] == ["2024-01-12T10:00:00", "2024-01-31T10:00:00"]
    assert "taken to begin" not in made.report.summary()
    made = reader(chat.replace("/31", "/13"), me="Bo")
    assert [(each.meta or {})["time"] for each in made] == ["2024-01-12T10:00:00", "2024-01-13T10:00:00"]
    assert "dates taken to begin with the year" in made.report.summary()


def test_months_with_names_are_read(reader: Any) -> None:
    chat = "12. Januar 2024, 10:00 - Ida: a\n3 févr. 2024 à 10:00 - Bo: b\n3 sty 2024, 11:00 - Ida: c\n"
    found = list(reader(chat, me="Bo", gap="1000h", on_error="skip"))
    assert [(each.turns, each.meta) for each in found] == [(("a", "b"), {"time": "2024-01-12T10:00:00"})]


def test_time_does_not_run_backwards(tmp_path: Path) -> None:
    by_day = times(tmp_path, "01/02/1970, 10:00", "02/02/1970, 10:00", "01/03/1970, 10:00")
    assert by_day == sorted(by_day) and by_day[1] - by_day[0] == 86_400
    by_month = times(tmp_path, "02/01/1970, 10:00", "02/02/1970, 10:00", "03/01/1970, 10:00")
    assert by_month == by_day


def test_a_date_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    found = times(tmp_path, "01/02/2024, 10:00", "99/99/2024, 10:00", "31/04/2024, 25:61")
    assert isinstance(found[0], float) and all("is no valid date" in each for each in found[1:])


@pytest.mark.parametrize(
    "text",
    [
        *("<Media omitted>", "<Medien ausgeschlossen>", "<Multimedia omitido>", "<Médias omis>", "<Media omessi>"),
        *(
            "<Arquivo de mídia oculto>",
            "<Media weggelaten>",
            "IMG-20240101-WA0001.jpg (file attached)",
            "Bild weggelassen",
        ),
        *(
            "VID-1.mp4 (Datei angehängt)",
            "<attached: 00000012-PHOTO.jpg>",
            "\u200eimage omitted",
            "sticker omitted",
        ),
        *("imagen omitida", "image absente", "immagine omessa", "imagem ocultada", "afbeelding weggelaten"),
        *("This message was deleted", "You deleted this message.", "Diese Nachricht wurde gelöscht.", "null"),
        *("Missed voice call", "\u200eMissed video call", "Se eliminó este mensaje"),
    ],
)
def test_what_has_no_text_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(f"01/02/2024, 10:00 - Ida: {text}\n", encoding="utf-8")
    [message] = read_messages(DataFile(InputFile(str(tmp_path / "x.txt")), ReadOptions()))
    assert not isinstance(message, Problem) and message.kind in ("media", "system")


@pytest.mark.parametrize(
    "text", ["I love this image", "<3", "a: b", "the file attached here", "10:30 - at ten", "null?"]
)
def test_what_is_said_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(f"01/02/2024, 10:00 - Ida: {text}\n", encoding="utf-8")
    [message] = read_messages(DataFile(InputFile(str(tmp_path / "x.txt")), ReadOptions()))
    assert not isinstance(message, Problem) and (message.kind, message.text) == ("text", text)


def test_several_exports_are_one_source(tmp_path: Path, reader: Any) -> None:
    from convmodel.data.conversation import ConversationReader

    (tmp_path / "a.txt").write_text(ANDROID)
    (tmp_path / "b.txt").write_text(IOS, encoding="utf-8")
    made = ConversationReader([tmp_path / "a.txt", tmp_path / "b.txt"], me="Ida")
    assert [len(each.turns) for each in made] == [3]
    with pytest.raises(ConversationFileError, match=r"a.txt and 1 more: it is a chat export"):
        list(ConversationReader([tmp_path / "a.txt", tmp_path / "b.txt"]))
    with pytest.raises(
        ValueError, match=r"c.csv: is CSV, not a chat export; me=... does not apply to it: leave it out"
    ):
        reader("context,response\na,b\n", name="c.csv", me="Ida")


def test_remarks_with_colons_have_no_sender(tmp_path: Path) -> None:
    remarks = [
        *('Ida created group "Trip: Rome"', "Ida hat den Betreff von „x: y“ zu „z“ geändert."),
        "This business uses a secure service to manage this chat. Learn more: https://x.example",
    ]
    (tmp_path / "x.txt").write_text("".join(f"01/05/2024, 10:00 - {each}\n" for each in remarks), encoding="utf-8")
    found = read_messages(DataFile(InputFile(str(tmp_path / "x.txt")), ReadOptions()))
    assert [each.kind for each in found if not isinstance(each, Problem)] == ["system"] * 3


def test_a_name_may_hold_a_colon(reader: Any) -> None:
    text = "01/05/2024, 10:00 - Ida: Hello\n01/05/2024, 10:00 - Bo: Work: Hi\n"
    assert [each.turns for each in reader(text, me="bo: work")] == [("Hello", "Hi")]


def test_a_chat_whose_beginning_is_cut_off_is_recognised(reader: Any) -> None:
    made = reader("the end of a message\n" + ANDROID, me="Bo", on_error="skip")
    assert made.format == "whatsapp" and [len(each.turns) for each in made] == [4] and made.report.skipped == 1


def test_a_conversation_in_two_exports_is_read_once(tmp_path: Path) -> None:
    from convmodel.data.conversation import ConversationReader

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(ANDROID)
    made = ConversationReader(tmp_path, me="Bo")
    assert [len(each.turns) for each in made] == [4] and made.report.skipped_messages["repeated message"] == 4


def test_an_empty_file_with_a_name_is_told_as_empty(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="there are no conversations in it"):
        list(reader("", me="Bo"))


def test_a_chat_in_which_nobody_is_answered_tells_what_was_left_out(tmp_path: Path) -> None:
    file = tmp_path / "chat.txt"
    file.write_text("01/05/2024, 10:00 - Ida: Are you there?\n01/05/2024, 10:01 - Bo: Yes.\n", encoding="utf-8")
    message = r"no conversation could be made of it: 2 unanswered messages left out; Ida must reply to somebody"
    with pytest.raises(ConversationFileError, match=message):
        list(ConversationReader(file, me="Ida"))
