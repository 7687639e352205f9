"""Slack's export: a folder, an archive and a day, names, threads, bots, and marks in texts."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationReader


def message(second: int, user: str, text: str, **fields: Any) -> dict[str, Any]:
    stamp = f"{1714557600 + second}.000100"
    return {"type": "message", "user": user, "text": text, "ts": stamp, "client_msg_id": "x", "team": "T1", **fields}


def thread(second: int) -> dict[str, Any]:
    return {"thread_ts": f"{1714557600 + second}.000100"}


USERS = [
    {"id": "U1", "team_id": "T1", "name": "ida", "real_name": "Ida B", "profile": {"display_name": "Ida", "image": ""}},
    {"id": "U2", "team_id": "T1", "name": "bo", "deleted": True, "profile": {"display_name": "", "real_name": "Bo C"}},
]
FIRST = [
    message(0, "U1", "<@U1> has joined the channel", subtype="channel_join"),
    message(1, "U1", "build is <https://example.org/1|red>, <@U2> &amp; <!here> in <#C1|general>"),
    message(2, "U2", "on it", edited={"user": "U2", "ts": "1.0"}, reactions=[{"name": "tada", "users": ["U1"]}]),
    message(3, "U1", "Who has the key?", reply_count=1, **thread(3)),
    message(4, "U1", "", files=[{"id": "F1"}]),
    {
        "type": "message",
        "subtype": "bot_message",
        "bot_id": "B1",
        "username": "ci",
        "text": "red",
        "ts": "1714557605.0",
    },
    message(6, "U1", "Thanks"),
    message(7, "USLACKBOT", "Reminder: tea"),
]
SECOND = [
    message(3603, "U2", "I have.", parent_user_id="U1", subtype="thread_broadcast", **thread(3)),
    message(3604, "U1", "This message was deleted.", subtype="tombstone", hidden=True),
    message(3605, "U2", "Done."),
    message(3606, "U1", "Good"),
]
FILES = {
    **{"channels.json": [{"id": "C1", "name": "general", "creator": "U1", "members": ["U1", "U2"]}]},
    **{"dms.json": [], "users.json": USERS, "integration_logs.json": [], "canvases.json": []},
    **{"general/2024-05-01.json": FIRST, "general/2024-05-02.json": SECOND},
}
TURNS = [
    ("build is red, @Bo C & @here in #general", "on it", "Thanks", "Done."),
    ("Who has the key?", "I have."),
]


def write(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=4))
    return folder


@pytest.mark.parametrize("me", ["Bo C", "bo"])
def test_an_export_is_read_with_names_and_threads(tmp_path: Path, me: str) -> None:
    made = ConversationReader(write(tmp_path), me=me)
    assert made.format == "slack"
    assert [conversation.turns for conversation in made] == TURNS
    assert dict(made.report.skipped_messages) == {
        **{"system message": 2, "media message": 1, "message of a bot": 2, "unanswered message": 1}
    }


def test_an_archive_is_an_export(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, json.dumps(content))
    assert [each.turns for each in ConversationReader(tmp_path / "export.zip", me="Bo C")] == TURNS


def test_a_day_has_the_names_in_its_messages(reader: Any) -> None:
    profile = {"user_profile": {"real_name": "Ida B", "display_name": "Ida", "name": "ida"}}
    content = json.dumps([message(1, "U1", "a <@U9>", **profile), message(2, "U2", "b")])
    made = reader(content, me="U2", name_speakers=True)
    assert made.format == "slack"
    [conversation] = made
    assert conversation.turns == ("Ida: a @U9", "b")
    assert conversation.meta == {"time": "2024-05-01T10:00:01"}


def test_the_answer_of_the_programming_interface_is_read(reader: Any) -> None:
    messages = [message(2, "U2", "b"), message(1, "U1", "a")]
    content = {"ok": True, "messages": messages, "has_more": False, "response_metadata": {"next_cursor": "x"}}
    made = reader(json.dumps(content), me="U2")
    assert made.format == "slack"
    assert [each.turns for each in made] == [("a", "b")]


def test_the_model_may_reply_as_a_bot(tmp_path: Path) -> None:
    assert [each.turns[-1] for each in ConversationReader(write(tmp_path), me="ci")] == ["red"]


def test_a_broken_message_is_told_with_its_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "general" / "2024-05-02.json").write_text(json.dumps(SECOND, indent=1).replace('"Done."', "Done."))
    made = ConversationReader(tmp_path, me="bo", on_error="skip")
    assert len(list(made)) == 2
    [problem] = made.report.problems
    assert f"{tmp_path}/general/2024-05-02.json:" in problem and "not JSON" in problem
    (tmp_path / "users.json").write_text(json.dumps(USERS).replace('"Ida"', "Ida"))
    made = ConversationReader(tmp_path, me="U2", on_error="skip")
    assert len(list(made)) == 2 and f"{tmp_path}/users.json:1: not JSON" in made.report.problems[0]


def test_a_message_of_blocks_alone_has_their_texts(reader: Any) -> None:
    section = {
        "type": "rich_text_section",
        "elements": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
    }
    question = {"type": "message", "user": "U1", "text": "", "ts": "1.5", "blocks": [{"elements": [section]}]}
    said = {"type": "message", "user": "Bo", "text": "Hi", "ts": "2.5"}
    assert [each.turns for each in reader(json.dumps([question, said]), me="Bo")] == [("Hello", "Hi")]
