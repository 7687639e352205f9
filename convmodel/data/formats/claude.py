"""Claude's export, `conversations.json` of "Export data" (2024 and 2025).

A conversation has `chat_messages` with a sender, "human" or "assistant", and a text or parts of content. If messages
name their parents, only the branch that ends with the current (or else the last) message is read. Parts with the
reasoning of the model, calls of tools and attachments are left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from convmodel.data.assistant_export import ASSISTANT, USER, AssistantMessage, assistant_format, find_branch
from convmodel.data.chat_fields import read_object, read_text

_COMPANIONS: Mapping[str, str | None] = {
    "users.json": "full_name",
    **dict.fromkeys(("projects.json", "memories.json", "organizations.json")),
}
"""Files of the export that hold no conversations; see `is_companion`."""

_ROLES = {"human": USER, "user": USER, "assistant": ASSISTANT}
_TOOL_PARTS = ("tool_use", "tool_result")


def split_conversation(conversation: Mapping[str, Any]) -> Iterator[AssistantMessage]:
    """Yield the messages of the current branch of a conversation."""
    given = conversation.get("chat_messages")
    messages = list(map(read_object, given)) if isinstance(given, list) else []
    branch = _find_branch(conversation, messages)
    for message in branch:
        yield from _split_message(message)
    for _ in range(len(messages) - len(branch)):
        yield AssistantMessage("", "", "branch")


def _find_branch(conversation: Mapping[str, Any], messages: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not any(isinstance(message.get("parent_message_uuid"), str) for message in messages):
        return messages
    found = {str(message.get("uuid")): message for message in messages}
    parents = {key: str(message.get("parent_message_uuid")) for key, message in found.items()}
    leaf = str(conversation.get("current_leaf_message_uuid"))
    leaf = leaf if leaf in found else str(messages[-1].get("uuid"))
    return [found[key] for key in find_branch(leaf, parents)]


def _split_message(message: Mapping[str, Any]) -> Iterator[AssistantMessage]:
    """Yield the calls of tools within a message, and then its text."""
    role = _ROLES.get(str(message.get("sender")))
    if role is None:
        yield AssistantMessage(str(message.get("sender")), "", "system")
        return
    content = message.get("content")
    parts = list(map(read_object, content)) if isinstance(content, list) else []
    texts = [read_text(part.get("text")) for part in parts if part.get("type", "text") == "text" and "text" in part]
    text = "\n".join(each for each in texts if each) or ("" if texts else read_text(message.get("text")))
    tools = [AssistantMessage(role, "", "tool") for part in parts if part.get("type") in _TOOL_PARTS]
    yield from tools
    if text.strip() or not tools:
        yield AssistantMessage(role, text)


CLAUDE = assistant_format(
    "claude",
    "Claude export",
    key="chat_messages",
    time="created_at",
    companions=_COMPANIONS,
    split=split_conversation,
)
