"""Trees of messages, as OpenAssistant publishes them: nested messages, or flat messages with the id of their parent.

In a tree with ranks, only the best branch is read: from the root on, always the reply with the lowest rank, or the
first reply if none has a rank. In a tree without ranks, every branch from the root to a leaf is a conversation. Deleted
messages, the replies to them, and messages that nobody answered are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Problem, Record, describe_type
from convmodel.data.shapes.base import Fields, RowGroup, Shape, read_turns

_MAX_MESSAGES = 100_000
"""Maximum number of messages of a tree, so that the memory is bounded."""


class _Node(NamedTuple):
    """A message of a tree.

    Args:
        message: the message with its role and text.
        rank: its rank among the replies to its parent, the lowest one being the best; None if it has none.
        replies: the replies to it.
    """

    message: dict[str, Any]
    rank: float | None
    replies: "list[_Node]"


def _is_tree(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    root = values.get(roles["root"])
    return isinstance(root, Mapping) and "text" in root and isinstance(root.get("replies"), list)


def _has_replies(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    return isinstance(values.get(roles["replies"]), list)


def build_tree(fields: Fields) -> Iterator[Record]:
    """Yield a record for each branch of a tree that is read; see the module.

    Raises:
        ValueError: when a message of the branch cannot be used.
    """
    root = fields.pop("root")
    meta = {key: value for key, value in fields.values.items() if isinstance(value, str | int | float)}
    yield from _records(fields.number, _link(root), meta, fields.notes)


def build_root(fields: Fields) -> Iterator[Record]:
    """Yield a record for each branch of a tree that is read. The object is the first message of the tree itself."""
    yield from _records(fields.number, _link(fields.values), {}, fields.notes)


def _link(root: Any) -> _Node:
    """Convert nested messages to nodes, and return the root. There is no recursion, so that any depth is possible."""
    node = _node(root)
    open_nodes = [(node, root)]
    while open_nodes:
        parent, message = open_nodes.pop()
        replies = message.get("replies")
        for reply in replies if isinstance(replies, list) else ():
            child = _node(reply)
            parent.replies.append(child)
            open_nodes.append((child, reply))
    return node


def _node(message: Any) -> _Node:
    if not isinstance(message, Mapping):
        raise ValueError(f"a message of the tree is {describe_type(message)}; write an object with role and text")
    text = "" if str(message.get("deleted")).strip().lower() == "true" else message.get("text")
    return _Node({"role": message.get("role"), "content": text}, _rank(message.get("rank")), [])


def _rank(value: Any) -> float | None:
    """Return a rank; tables hold it as text."""
    try:
        return None if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _records(number: int, root: _Node, meta: Mapping[str, Any], notes: Notes) -> Iterator[Record]:
    is_ranked = any(node.rank is not None for node in _walk(root))
    for branch in [_best_branch(root, notes)] if is_ranked else _branches(root):
        kept = takewhile(lambda node: node.message["content"] != "", branch)  # up to the first deleted message
        chat = read_turns([node.message for node in kept], notes)
        if len(chat.turns) > 1:
            yield Record(number, chat.turns, chat.persona, dict(meta) or None)
        else:
            notes.left_out["unanswered message"] += 1


def _walk(root: _Node) -> Iterator[_Node]:
    nodes = [root]
    while nodes:
        node = nodes.pop()
        yield node
        nodes.extend(node.replies)


def _best_branch(root: _Node, notes: Notes) -> list[_Node]:
    branch = [root]
    while branch[-1].replies:
        replies = [node for node in branch[-1].replies if node.message["content"] != ""] or branch[-1].replies
        notes.left_out["message of another branch"] += sum(map(_size, branch[-1].replies))
        branch.append(min(replies, key=lambda node: float("inf") if node.rank is None else node.rank))
        notes.left_out["message of another branch"] -= _size(branch[-1])
    return branch


def _size(root: _Node) -> int:
    return sum(1 for _ in _walk(root))


def _branches(root: _Node) -> Iterator[list[_Node]]:
    """Yield the branches from the root to each leaf, in the order of the file."""
    branch: list[_Node] = []
    steps: list[tuple[int, _Node]] = [(0, root)]
    while steps:
        depth, node = steps.pop()
        branch[depth:] = [node]
        if not node.replies:
            yield list(branch)
        steps.extend((depth + 1, reply) for reply in reversed(node.replies))


class TreeGroup(RowGroup):
    """Collector of the flat messages of a tree, which must be consecutive."""

    _rows: dict[Any, dict[str, Any]]

    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        row = {role: fields.values.get(key) for role, key in fields.roles.items()}
        if self._first is None or self._begins_tree(row):
            yield from self.finish()
            self._first = fields.number
            self._rows = {}
            self._tree = row.get("tree")
        identity = row["id"]
        if not isinstance(identity, str | int) or identity in self._rows:
            self._fail(fields.number, "the message has no id, or the id of another message; repair the file")
        elif len(self._rows) >= _MAX_MESSAGES:
            self._fail(fields.number, f"the tree has more than {_MAX_MESSAGES:,} messages; split it")
        else:
            self._rows[identity] = {**row, "number": fields.number}

    def _conversations(self, number: int) -> Iterable[Record]:
        tree = {"message_tree_id": self._tree} if isinstance(self._tree, str | int) else {}
        return _records(number, _connect(self._rows), tree, self._notes)

    def _begins_tree(self, row: Mapping[str, Any]) -> bool:
        if row.get("tree") is not None:
            return bool(row["tree"] != self._tree)
        return _is_root(row)


def _is_root(row: Mapping[str, Any]) -> bool:
    return row["parent"] is None or row["parent"] == ""


def _connect(rows: Mapping[Any, Mapping[str, Any]]) -> _Node:
    """Connect flat messages to a tree, and return its root.

    Raises:
        ValueError: when there are several roots or none, or when a message's parent is not among the messages.
    """
    nodes = {identity: _node(row) for identity, row in rows.items()}
    roots = [identity for identity, row in rows.items() if _is_root(row)]
    for identity, row in rows.items():
        if _is_root(row):
            continue
        if row["parent"] not in nodes:
            fault = f"the parent of message {identity!r} is not in its tree"
            raise ValueError(f"{fault}; sort the file by tree, so that the messages of each follow one another")
        nodes[row["parent"]].replies.append(nodes[identity])
    if len(roots) != 1:
        raise ValueError(f"the tree has {len(roots)} first messages (without a parent); one is needed")
    return nodes[roots[0]]


TREE = Shape("tree of messages", {"root": "prompt"}, {}, _is_tree, build_tree)
ROOT = Shape(
    "message with its replies", {"role": "role", "text": "text", "replies": "replies"}, {}, _has_replies, build_root
)
FLAT = Shape(
    "messages with their parents",
    {"id": "message_id", "parent": "parent_id", "role": "role", "text": "text"},
    {"tree": "message_tree_id", "rank": "rank", "deleted": "deleted"},
    group=TreeGroup,
)
