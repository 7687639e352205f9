"""ChatGPT's export: the current branch of a tree, kinds of content, and the other files of an archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

from convmodel.data.conversation import ConversationReader
from convmodel.data.formats.chatgpt import split_conversation


def node(name: str, parent: str | None, role: str | None, content: Any = None, **fields: Any) -> dict[str, Any]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    author: dict[str, Any] = {"role": role, "name": None, "metadata": {}}
    message = {"id": name, "author": author, "create_time": 1714557600.5, "content": content, "status": "finished"}
    message |= {"weight": 1.0, "metadata": {}, "recipient": "all", **fields}
    return {"id": name, "message": message if role else None, "parent": parent, "children": []}


def conversation(*nodes: dict[str, Any], current: str | None) -> dict[str, Any]:
    mapping = {each["id"]: each for each in nodes}
    fields = {"title": "Tea", "create_time": 1714557600.1, "update_time": 1714557700.1, "moderation_results": []}
    return {**fields, "mapping": mapping, "current_node": current, "plugin_ids": None, "conversation_id": "c"}


HIDDEN = {"metadata": {"is_visually_hidden_from_conversation": True}}
TREE = conversation(
    node("r", None, None),
    node("s", "r", "system", "", **HIDDEN),
    node("p", "s", "user", {"content_type": "user_editable_context", "user_profile": "I am Bo"}, **HIDDEN),
    node("u1", "p", "user", "How long does green tea steep?"),
    node("a0", "u1", "assistant", "Ten minutes."),
    node("t0", "u1", "assistant", {"content_type": "thoughts", "thoughts": [{"content": "hm"}]}),
    node("t1", "t0", "assistant", {"content_type": "code", "text": "search('tea')"}, recipient="browser"),
    node("t2", "t1", "tool", {"content_type": "tether_quote", "text": "2 min", "url": "x"}),
    node("a1", "t2", "assistant", "About two minutes \ue200cite\ue202turn0search1\ue201.【4†source】"),
    node("u2", "a1", "user", {"content_type": "multimodal_text", "parts": [{"asset_pointer": "x"}, "And this one?"]}),
    node(
        *("a2", "u2", "assistant"),
        {"content_type": "text", "parts": ['Ask \ue200entity\ue202["people","Ida","cook"]\ue201.', "", {"x": 1}]},
    ),
    node("u3", "a2", "user", "Thanks"),
    current="u3",
)
TURNS = ("How long does green tea steep?", "About two minutes .", "And this one?", "Ask Ida.")


def test_the_current_branch_is_read_without_hidden_messages_and_tools(reader: Any) -> None:
    made = reader(json.dumps([TREE]), name="conversations.json")
    assert made.format == "chatgpt"
    [found] = made
    assert found.turns == TURNS
    assert found.meta == {"time": "2024-05-01T10:00:00"}
    assert dict(made.report.skipped_messages) == {
        **{"tool message": 2, "system message": 3, "message of another branch": 1, "unanswered message": 1}
    }


def test_the_options_of_chats_apply(reader: Any) -> None:
    tree = conversation(node("u", None, "user", "My mail is a@b.org"), node("a", "u", "assistant", "ok"), current="a")
    assert [each.turns for each in reader(json.dumps(tree), mask=True)] == [("My mail is [mail]", "ok")]


def test_without_a_current_node_the_newest_message_is_the_last() -> None:
    nodes = [node("r", None, None), node("u", "r", "user", "a"), node("b", "u", "assistant", "b", create_time=5)]
    nodes += [node("c", "u", "assistant", "c", create_time=9), node("d", "u", "assistant", "d", create_time=None)]
    for current in (None, "lost"):
        texts = [each.text for each in split_conversation(conversation(*nodes, current=current)) if each.kind == "text"]
        assert texts == ["a", "c"]


def test_spoken_messages_have_their_transcription() -> None:
    parts = [{"content_type": "audio_transcription", "text": "Hello"}, {"content_type": "audio_asset_pointer"}]
    tree = conversation(node("u", None, "user", {"content_type": "multimodal_text", "parts": parts}), current="u")
    assert [each.text for each in split_conversation(tree)] == ["Hello"]


def test_an_archive_is_read_without_its_other_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("chat.html", "<html>")
        archive.writestr("conversations.json", json.dumps([TREE]))
        archive.writestr("message_feedback.json", "[]")
        archive.writestr("shared_conversations.json", json.dumps([{"id": "x", "conversation_id": "c", "title": "Tea"}]))
        archive.writestr("user.json", json.dumps({"id": "user-x", "email": "a@example.org"}))
        archive.writestr("file-x.png", b"\x89PNG")
    assert [each.turns for each in ConversationReader(tmp_path / "export.zip")] == [TURNS]


def test_fields_may_be_missing_or_of_another_type(reader: Any) -> None:
    odd: list[Any] = [
        {"id": "x"},
        {"id": "y", "message": 7},
        node("z", "y", "user", 7),
        node("a", "z", "assistant", []),
    ]
    trees = [conversation(*odd, current="a"), {"mapping": {"a": None}}, {"mapping": [7]}, TREE]
    assert [each.turns for each in reader(json.dumps(trees))] == [TURNS]
