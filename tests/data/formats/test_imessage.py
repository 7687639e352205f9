"""Text files of imessage-exporter: texts, tapbacks, replies, edits, and what has no text."""

from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError

CHAT = """\
May 17, 2022  5:29:42 PM (Read by you after 1 hour, 49 seconds)
Sample Contact
Are you there?

Really?
Tapbacks:
Loved by Me

    May 17, 2022  5:31:00 PM
    Me
    Yes.

May 17, 2022  5:30:00 PM You renamed the conversation to Lake

May 17, 2022  5:31:00 PM (Read by them after 3 seconds)
Me
Yes.
This message responded to an earlier message.

May 17, 2022  5:32:00 PM
Sample Contact
/Users/bo/Library/Messages/Attachments/0f/15/IMG 1.HEIC

May 17, 2022  5:33:00 PM
Sample Contact
attachments/0f/IMG_2.jpeg
Look
Sent with Confetti

May 17, 2022  5:34:00 PM
Sample Contact
https://example.org/a
A title
A summary

May 17, 2022  5:35:00 PM
Sample Contact
They deleted a message.

May 17, 2022 12:36:00 PM
Me
May 17, 2022  5:36:00 PM Niec
Edited 8 seconds later: Nice
Edited 1 minute, 3 seconds later: Nice!

May 17, 2022  5:37:00 PM
Me
Here is a
message: two
lines
Reactions:
Liked by Sample Contact

"""


def test_a_chat_is_read(reader: Any) -> None:
    made = reader(CHAT, me="Me", name="Sample Contact.txt")
    assert made.format == "imessage"
    [conversation] = made
    assert conversation.turns == (
        "Are you there?\n\nReally?",
        "Yes.",
        "Look\nhttps://example.org/a",
        "Nice!\nHere is a\nmessage: two\nlines",
    )
    assert conversation.meta == {"time": "2022-05-17T17:29:42"}
    assert {kind: count for kind, count in made.report.skipped_messages.items() if count} == {
        **{"media message": 1, "system message": 2}
    }


def test_the_names_are_listed(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r"there are Sample Contact \(3 messages\), Me \(3 messages\)"):
        list(reader(CHAT))


def test_lines_before_the_first_date_are_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":1: the line begins with neither date nor message; remove it"):
        list(reader("hello\n\n" + CHAT, format="imessage", me="Me"))
    assert len(list(reader("hello\n\n" + CHAT, format="imessage", me="Me", on_error="skip"))) == 1
