"""Signal chats as text: signal-export's Markdown, sigtop's long and short forms."""

from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError

MARKDOWN = """\
[2024-05-01 10:00:00] Ida: Are you there?
(- Me: 👍 -)
[2024-05-01 10:01:00] Me:

> Are you there?

Yes: really

- and truly.
[2024-05-01 10:02:00] Ida: ![photo.jpg](./media/photo.jpg)
[2024-05-01 10:03:00] Ida: (This message was deleted)
[2024-05-01 10:04:00] Ida: Look [a.pdf](./media/a.pdf)
[2024-05-01 10:05:00] Ida: [😀](../exported_stickers/1/2.webp)
[2024-05-01 10:06:00] Me: Nice
(( 👍 ))
"""
SHORT = """\
2024-05-01 10:00 Ida: Are you there?
2024-05-01 10:01 You: [reply to Ida on 2024-05-01 10:00, edited] Yes: really

- and truly.
2024-05-01 10:02 Ida: [1 attachment]
2024-05-01 10:03 Ida: [2 attachments] Look
2024-05-01 10:04 Ida: [call-history message]
2024-05-01 10:06 You: Nice
"""
LONG = """\
Conversation: Ida (+4917)

From: Ida (+4917)
Type: incoming
Sent: Wed, 1 May 2024 10:00:00 +0200
Received: Wed, 1 May 2024 10:00:01 +0200
Reaction: 👍 from You

Are you there?

From: You
Type: outgoing
Sent: Wed, 1 May 2024 10:01:00 +0200
Edited: 2 versions

| Version: 2
| Sent: Wed, 1 May 2024 10:02:00 +0200
|
| > From: Ida (+4917)
| > Sent: Wed, 1 May 2024 10:00:00 +0200
| >
| > Are you there?
|
| Yes: really
|
| - and truly.
|
| Version: 1
| Sent: Wed, 1 May 2024 10:01:00 +0200
|
| Yes

From: Ida (+4917)
Type: incoming
Sent: Wed, 1 May 2024 10:02:00 +0200
Received: Wed, 1 May 2024 10:02:00 +0200
Attachment: no filename (image/jpeg, 3 bytes)

Type: call-history
Sent: Wed, 1 May 2024 10:03:00 +0200
Received: Wed, 1 May 2024 10:03:00 +0200

From: Ida (+4917)
Type: incoming
Sent: Wed, 1 May 2024 10:04:00 +0200
Received: Wed, 1 May 2024 10:04:00 +0200

> From: You
> Sent: Wed, 1 May 2024 10:01:00 +0200
>
> Yes

Look

From: You
Type: outgoing
Sent: Wed, 1 May 2024 10:06:00 +0200

Nice
"""
YES = "Yes: really\n\n- and truly."


@pytest.mark.parametrize(
    ("content", "me", "turns", "left_out"),
    [
        (MARKDOWN, "Me", ("Are you there?", YES, "Look\n😀", "Nice\n👍"), {"media message": 1, "system message": 1}),
        (SHORT, "You", ("Are you there?", YES, "Look", "Nice"), {"media message": 1, "system message": 1}),
        (LONG, "You", ("Are you there?", YES, "Look", "Nice"), {"media message": 1, "system message": 1}),
    ],
)
def test_each_form_is_read(
    reader: Any, content: str, me: str, turns: tuple[str, ...], left_out: dict[str, int]
) -> None:
    made = reader(content, me=me, name="chat.md")
    assert made.format == "signal_text"
    [conversation] = made
    assert conversation.turns == turns
    assert conversation.meta == {"time": f"2024-05-01T{8 if content is LONG else 10:02}:00:00"}
    assert {kind: count for kind, count in made.report.skipped_messages.items() if count} == left_out
    [named] = reader(content, me=me, name="chat.md", name_speakers=True)
    assert named.turns[0] == "Ida: Are you there?"


def test_without_the_name_of_the_file_it_may_be_whatsapps(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r"may be .*\(whatsapp\) or .*\(signal_text\); say which"):
        reader(MARKDOWN, name="x.txt")
    assert reader("[2024-05-01, 10:00:00] Ida: Hello\n", name="x.txt", me="Bo").format == "whatsapp"
    assert reader("[2024-05-01, 10:00] Ida: Hello\n", name="x.md", me="Bo").format == "signal_text"


def test_lines_before_the_first_message_are_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":1: the line begins with neither date nor message; remove it"):
        list(reader("hello\n" + MARKDOWN, format="signal_text", me="Me"))
