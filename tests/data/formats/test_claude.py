"""Claude's export: texts and parts of content, tools, attachments and branches."""

import json
from pathlib import Path
from typing import Any

from convmodel.data.conversation import ConversationReader


def message(name: str, sender: str, text: str, content: Any = None, **fields: Any) -> dict[str, Any]:
    given = {} if content is None else {"content": content}
    dates = {"created_at": "2024-05-01T10:00:00.000000Z", "updated_at": "2024-05-01T10:00:00.000000Z"}
    return {"uuid": name, "text": text, **given, "sender": sender, **dates, "attachments": [], "files": [], **fields}


def conversation(*messages: Any, **fields: Any) -> dict[str, Any]:
    dates = {"created_at": "2024-05-01T10:00:00.123456Z", "updated_at": "2024-05-02T10:00:00.123456Z"}
    return {"uuid": "x", "name": "Tea", "account": {"uuid": "y"}, **dates, "chat_messages": messages, **fields}


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"start_timestamp": None, "stop_timestamp": None, "type": kind, "citations": [], **fields}


TOOL = [
    part("thinking", thinking="hm"),
    part("text", text="Let me see."),
    part("tool_use", name="search", input={}),
    part("tool_result", content=[{"type": "text", "text": "2 min"}]),
    part("text", text="Two minutes."),
]
TEA = conversation(
    message("1", "human", "How long does green tea steep?", [part("text", text="How long does green tea steep?")]),
    message("2", "assistant", "Let me see.\n```\nThis block is not supported on your device.\n```\nTwo minutes.", TOOL),
    message("3", "human", "", [part("text", text="")], attachments=[{"file_name": "x", "extracted_content": "y"}]),
    message("4", "assistant", "A cat."),
    message("5", "human", "And black?"),
    message("6", "assistant", "Three."),
    message("7", "human", "Thanks"),
)
TURNS = ("How long does green tea steep?", "Let me see.\nTwo minutes.", "And black?", "Three.")


def test_an_export_is_read_without_tools_and_attachments(reader: Any) -> None:
    made = reader(json.dumps([TEA, conversation()]), name="conversations.json")
    assert made.format == "claude"
    [found] = made
    assert found.turns == TURNS
    assert found.meta == {"time": "2024-05-01T10:00:00"}
    assert dict(made.report.skipped_messages) == {"tool message": 2, "media message": 2, "unanswered message": 1}


def test_the_last_branch_is_read(reader: Any) -> None:
    root = "00000000-0000-4000-8000-000000000000"
    messages = [
        message("1", "human", "a", parent_message_uuid=root),
        message("2", "assistant", "b", parent_message_uuid="1"),
        message("3", "human", "c", parent_message_uuid="2"),
        message("4", "assistant", "d", parent_message_uuid="3"),
        message("5", "human", "e", parent_message_uuid="2"),
        message("6", "assistant", "f", parent_message_uuid="5"),
    ]
    made = reader(json.dumps([conversation(*messages)]))
    assert [each.turns for each in made] == [("a", "b", "e", "f")]
    assert made.report.skipped_messages["message of another branch"] == 2
    current = conversation(*messages, current_leaf_message_uuid="4")
    assert [each.turns for each in reader(json.dumps([current]))] == [("a", "b", "c", "d")]


def test_a_folder_is_read_without_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "conversations.json").write_text(json.dumps([TEA]))
    (tmp_path / "users.json").write_text(json.dumps([{"uuid": "y", "full_name": "Bo", "email_address": "a@b.org"}]))
    (tmp_path / "projects.json").write_text(json.dumps([{"uuid": "z", "name": "p", "prompt_template": ""}]))
    assert [each.turns for each in ConversationReader(tmp_path)] == [TURNS]


def test_fields_may_be_missing_or_of_another_type(reader: Any) -> None:
    odd = [7, {"sender": "human"}, {"sender": "system", "text": "x"}, {"sender": "assistant", "content": [7, {}]}]
    made = reader(json.dumps([conversation(*odd), TEA]))
    assert [each.turns for each in made] == [TURNS]
