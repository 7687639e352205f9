"""Texts of WhatsApp in the place of media, deleted messages and calls; and texts that only resemble them."""

import pytest

from convmodel.data.chat_remarks import classify


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<Média vynechána>",
            "<Без медиафайлов>",
            "<メディアは含まれていません>",
            "<تم استبعاد الوسائط>",
            "<Medier udeladt>",
        ),
        *("IMG-20240501-WA0001.jpg (súbor priložený)", "Report.pdf • \u200e3 pages \u200edocument omitted"),
        *(
            "Standort: https://maps.google.com/?q=52.5,13.4",
            "POLL:\nLunch?\nOPTION: Pizza (2 votes)",
            "Voice call, 5 min",
        ),
    ],
)
def test_what_has_no_text_is_media(text: str) -> None:
    assert classify(text)[1] == "media"


@pytest.mark.parametrize(
    "text",
    [
        *("Je hebt dit bericht verwijderd", "Você apagou essa mensagem", "Данное сообщение удалено", "此消息已删除"),
        *("This message was deleted by admin Cy", "Waiting for this message. This may take a while."),
    ],
)
def test_what_is_deleted_is_a_remark(text: str) -> None:
    assert classify(text)[1] == "system"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *(("<Media omitted>\nLook", "Look"), ("IMG-20240501-WA0001.jpg (file attached)\nLook", "Look")),
        *(("Look\nhere \u200eimage omitted", "Look\nhere"), ("Hi @\u2068Bo\u2069", "Hi @Bo")),
        *(
            ("Hi <Ta wiadomość została zmieniona>", "Hi"),
            ("Hi <تم تعديل هذه الرسالة>", "Hi"),
            ("Hi <ההודעה נערכה>", "Hi"),
        ),
        *(("Hi <Bu mesaj düzenlendi>", "Hi"), ("Hi <このメッセージは編集されました>", "Hi")),
    ],
)
def test_captions_and_edited_texts_are_kept(text: str, said: str) -> None:
    assert classify(text) == (said, "text")


@pytest.mark.parametrize(
    "text",
    [
        "<grin>",
        "<räusper>",
        "<笑>",
        "<вздох>",
        "<just kidding>",
        "see <edited.txt>",
        "video call?",
        "Voice call, now?",
        "POLL: who comes?",
        "a.txt (please read)",
        "the <Media> tag",
    ],
)
def test_what_only_resembles_a_remark_is_kept(text: str) -> None:
    assert classify(text) == (text, "text")
