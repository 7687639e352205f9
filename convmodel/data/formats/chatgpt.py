"""ChatGPT's export, `conversations.json` of "Export data" (2023 to 2025), also in parts (`conversations-000.json`).

A conversation is a tree of messages in `mapping`. Only the branch that ends with `current_node` is read. Hidden
messages, the reasoning of the model, calls of tools and their results are left out. The export of DeepSeek has the same
tree, with `fragments` in its messages.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convmodel.data.assistant_export import ASSISTANT, USER, AssistantMessage, assistant_format, find_branch
from convmodel.data.chat_fields import parse_time, read_object

_COMPANIONS: Mapping[str, str | None] = {
    "user.json": "email",
    **dict.fromkeys(("message_feedback.json", "shared_conversations.json", "model_comparisons.json"), ""),
    **dict.fromkeys(("user_settings.json", "export_manifest.json", "conversation_asset_file_names.json"), ""),
    **dict.fromkeys(("shopping.json", "sora.json", "group_chats.json"), None),
}
"""Files of the export that hold no conversations; see `is_companion`."""

_TEXT_TYPES = ("text", "multimodal_text")
_TOOL_TYPES = ("code", "execution_output", "tether_quote", "tether_browsing_display", "tether_browsing_code")
_SAID = ("REQUEST", "RESPONSE")
_MARK = re.compile("\ue200([^\ue200-\ue202]*)(?:\ue202([^\ue201]*))?\ue201|【[^【】]{0,40}†[^【】]{0,80}】")


def split_conversation(conversation: Mapping[str, Any]) -> Iterator[AssistantMessage]:
    """Yield the messages of the current branch of a conversation."""
    mapping = read_object(conversation.get("mapping"))
    nodes = {key: read_object(node) for key, node in mapping.items()}
    branch = find_branch(_leaf(conversation, nodes), {key: _parent(node) for key, node in nodes.items()})
    on_branch = set(branch)
    for key in branch:
        if nodes[key].get("message"):
            yield _message(read_object(nodes[key].get("message")))
    for key, node in nodes.items():
        if key not in on_branch and node.get("message") is not None:
            yield AssistantMessage("", "", "branch")


def _parent(node: Mapping[str, Any]) -> str | None:
    parent = node.get("parent")
    return parent if isinstance(parent, str) else None


def _leaf(conversation: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the id of the current message; if the file does not give it, the id of the newest message."""
    current = conversation.get("current_node")
    if isinstance(current, str) and current in nodes:
        return current
    times = {key: parse_time(read_object(node.get("message")).get("create_time")) for key, node in nodes.items()}
    inner = {_parent(node) for node in nodes.values()}
    leaves = [key for key in nodes if key not in inner]
    return max(reversed(leaves), key=lambda key: times[key] or 0.0, default="")


def _message(message: Mapping[str, Any]) -> AssistantMessage:
    if isinstance(fragments := message.get("fragments"), list):
        return _fragments_message(list(map(read_object, fragments)))
    author = read_object(message.get("author"))
    content = message.get("content")
    fields = read_object(content)
    role = author.get("role")
    kind = fields.get("content_type", "text")
    if role == "tool" or kind in _TOOL_TYPES or message.get("recipient", "all") not in ("all", None):
        return AssistantMessage("", "", "tool")
    is_hidden = read_object(message.get("metadata")).get("is_visually_hidden_from_conversation") is True
    if role not in (USER, ASSISTANT) or kind not in _TEXT_TYPES or is_hidden:
        return AssistantMessage(str(role), "", "system")
    parts = fields.get("parts", fields.get("text", content))
    texts = map(_part_text, parts) if isinstance(parts, list) else [_part_text(parts)]
    return AssistantMessage(role, "\n".join(text for text in texts if text))


def _fragments_message(fragments: Sequence[Mapping[str, Any]]) -> AssistantMessage:
    """Return a message of DeepSeek, without the reasoning of the model and its searches."""
    texts = [
        each["content"] for each in fragments if each.get("type") in _SAID and isinstance(each.get("content"), str)
    ]
    is_asked = any(each.get("type") == "REQUEST" for each in fragments)
    return AssistantMessage(USER if is_asked else ASSISTANT, "\n".join(texts))


def _part_text(part: Any) -> str:
    text = read_object(part).get("text") if isinstance(part, Mapping) else part
    return _MARK.sub(_replace_mark, text) if isinstance(text, str) else ""


def _replace_mark(match: re.Match[str]) -> str:
    """Return the replacement of a mark in a text: the name of a person or place, or "" for a reference to a source."""
    if match[1] != "entity":
        return ""
    try:
        values = json.loads(match[2] or "")
    except (ValueError, RecursionError):
        return ""
    is_named = isinstance(values, list) and len(values) > 1 and isinstance(values[1], str)
    return str(values[1]) if is_named else ""


CHATGPT = assistant_format(
    "chatgpt",
    "ChatGPT export",
    key="mapping",
    time="create_time",
    companions=_COMPANIONS,
    split=split_conversation,
)
