"""Exports of a person's conversations with an assistant: one list of conversations, each a list or a tree of messages.

A file that holds a single conversation, or one conversation per line, is read too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import first_object, is_companion, read_time
from convmodel.data.chat_format import ChatFormat
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Item, Problem
from convmodel.data.json_stream import take_depth

ASSISTANT = "assistant"
USER = "user"


class AssistantMessage(NamedTuple):
    """A message of a conversation with an assistant.

    Args:
        role: `ASSISTANT` or `USER`.
        text: the text; "" if the message has only attachments.
        kind: "text"; "system" for a hidden message; "tool" for a call of a tool or its result; "branch" for a message
            outside of the current branch.
    """

    role: str
    text: str
    kind: Literal["text", "system", "tool", "branch"] = "text"


_COUNTED = {"tool": "tool message", "branch": "message of another branch"}

SplitConversation = Callable[[Mapping[str, Any]], Iterable[AssistantMessage]]


def assistant_format(
    name: str,
    human_name: str,
    *,
    key: str,
    time: str,
    companions: Mapping[str, str | None],
    split: SplitConversation,
) -> ChatFormat:
    """Return the format of an export, in which the model replies as the assistant.

    Args:
        name: the value of the `format` option.
        human_name: the name in messages.
        key: the key of a conversation's messages, which no other format has.
        time: the key of a conversation's time.
        companions: the files that come with the export; see `is_companion`.
        split: a function from a conversation to its messages in order.
    """

    def score(head: Head) -> Certainty:
        is_known = isinstance(first_object(head.value).get(key), dict | list)
        return Certainty.SURE if is_known or is_companion(head, companions) else Certainty.NONE

    def messages(file: DataFile) -> Iterator[ChatMessage | Problem]:
        if is_companion(file.head, companions):
            return
        for item in file.values(take_depth(int(isinstance(file.head.value, list)))):
            if item.problem is not None:
                yield Problem(item.number, item.problem)
            elif not isinstance(item.value, dict) or not isinstance(item.value.get(key), dict | list):
                yield Problem(item.number, f"the conversation has no {key!r}; fetch the export again, or remove it")
            else:
                yield from read(item, file)

    def read(item: Item, file: DataFile) -> Iterator[ChatMessage | Problem]:
        try:
            moment = read_time(item.value.get(time))
        except ValueError as error:
            yield Problem(item.number, str(error))
            return
        begin = ChatMessage(item.number, f"{file.name} {item.path} {item.number}", moment, "", "")
        yield from _chat_messages(begin, split(item.value), file)

    return ChatFormat(name, human_name, score, messages, me=ASSISTANT)


def _chat_messages(begin: ChatMessage, messages: Iterable[AssistantMessage], file: DataFile) -> Iterator[ChatMessage]:
    """Yield the messages of a conversation. Only the first one has a time, so that no gap divides the conversation.

    A question without a text (only attachments), and the answer to it, count as media.
    """
    is_asked = True
    for role, text, kind in messages:
        if kind in _COUNTED:
            file.notes.left_out[_COUNTED[kind]] += 1
            continue
        if role == USER and kind == "text":
            is_asked = bool(text.strip())
        if kind == "system":
            yield begin._replace(sender=role, text=text, kind="system")
        elif not is_asked:  # an attachment without a text, and the answer to it
            yield begin._replace(sender=role, text=text, kind="media")
        else:
            yield begin._replace(sender=role, text=text)
            begin = begin._replace(time=None)


def find_branch(leaf: str, parents: Mapping[str, str | None]) -> list[str]:
    """Return the ids of the messages from the root to a leaf.

    Args:
        leaf: the id of the last message.
        parents: the id of the parent of each message, by the id of the message.
    """
    branch: dict[str, None] = {}
    node: str | None = leaf
    while node is not None and node in parents and node not in branch:
        branch[node] = None
        node = parents[node]
    return list(reversed(branch))
