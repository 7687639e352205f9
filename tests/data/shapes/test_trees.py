"""Trees of messages: the best-ranked branch, all branches, flat messages, and what cannot be connected."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError
from convmodel.data.shapes import trees


def node(identity: str, text: str, *replies: Any, rank: int | None = None, **more: Any) -> dict[str, Any]:
    role = "assistant" if text[-1].isdigit() else "prompter"
    return {"message_id": identity, "role": role, "text": text, "rank": rank, "replies": list(replies), **more}


def tree(root: Any, name: str = "t") -> dict[str, Any]:
    return {"message_tree_id": name, "tree_state": "ready", "prompt": root}


def flatten(message: dict[str, Any], name: str, parent: str | None = None) -> list[dict[str, Any]]:
    row = {key: value for key, value in message.items() if key != "replies"}
    rows = [row | {"parent_id": parent, "message_tree_id": name}]
    return [*rows, *(row for reply in message["replies"] for row in flatten(reply, name, message["message_id"]))]


PLAIN = node("m1", "a", node("m2", "b1"), node("m3", "b2", node("m4", "c", node("m5", "d1"))))
RANKED = node(
    "m1", "a", node("m2", "b1", rank=1), node("m3", "b0", node("m4", "c", node("m5", "d1")), node("m6", "e"), rank=0)
)


def turns(made: Any) -> list[str]:
    return [" ".join(each.turns) for each in made]


def test_the_best_ranked_branch_is_read(reader: Any) -> None:
    made = reader(json.dumps(tree(RANKED)) + "\n" + json.dumps(tree(RANKED)))
    assert turns(made) == ["a b0 c d1"] * 2
    assert made.report.skipped_messages == {"message of another branch": 4}
    assert made.report.summary().endswith("; 4 messages of another branch left out")


def test_without_ranks_each_branch_is_a_conversation(reader: Any) -> None:
    made = reader(json.dumps(tree(PLAIN)))
    assert turns(made) == ["a b1", "a b2 c d1"]
    assert [each.meta for each in made] == [{"message_tree_id": "t", "tree_state": "ready"}] * 2
    assert turns(reader(json.dumps([PLAIN, RANKED], indent=1))) == ["a b1", "a b2 c d1", "a b0 c d1"]


def test_a_tree_without_replies_is_left_out_and_counted(reader: Any) -> None:
    made = reader("\n".join(json.dumps(tree(root)) for root in (node("m1", "a"), PLAIN)))
    assert len(list(made)) == 2 and made.report.skipped_messages == {"unanswered message": 1}


@pytest.mark.parametrize("with_trees", [True, False])
def test_flat_messages_are_connected(reader: Any, with_trees: bool) -> None:
    rows = [*flatten(RANKED, "t1"), *flatten(PLAIN, "t2")]
    for row in rows if not with_trees else ():
        del row["message_tree_id"]
    made = reader("\n".join(map(json.dumps, rows)))
    assert turns(made) == ["a b0 c d1", "a b1", "a b2 c d1"]
    assert [line for line, _ in made.with_line_numbers()] == [1, 7, 7]


def test_flat_messages_in_a_table_and_in_any_order_of_their_tree(reader: Any) -> None:
    made = reader(
        "message_tree_id,parent_id,message_id,role,text,rank\nt,2,3,prompter,c,\nt,,1,prompter,a,\nt,1,2,assistant,b,0.0\n"
    )
    assert turns(made) == ["a b c"]


def test_deleted_messages_and_their_replies_are_left_out(reader: Any) -> None:
    root = node("m1", "a", node("m2", "b1", node("m3", "c", deleted=True)), node("m4", "d1"))
    assert turns(reader(json.dumps(tree(root)))) == ["a b1", "a d1"]
    best = node("m1", "a", node("m2", "b0", rank=0, deleted=True), node("m3", "b1", rank=1))
    assert turns(reader(json.dumps(tree(best)))) == ["a b1"]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([("1", None), ("2", "9")], "the parent of message '2' is not in its tree; sort the file by tree"),
        ([("1", None), ("2", None)], "the tree has 2 first messages"),
        ([("1", "2"), ("2", "1")], "the tree has 0 first messages"),
        ([("1", None), ("1", "1")], "has no id, or the id of another message"),
        ([("1", None), (None, "1")], "has no id, or the id of another message"),
        ([(str(number), str(number - 1) if number else None) for number in range(9)], "more than 5 messages; split it"),
    ],
)
def test_what_is_no_tree_is_told(reader: Any, monkeypatch: pytest.MonkeyPatch, rows: Any, fault: str) -> None:
    monkeypatch.setattr(trees, "_MAX_MESSAGES", 5)
    made = [{"message_id": i, "parent_id": p, "message_tree_id": "t", "role": "prompter", "text": "a"} for i, p in rows]
    with pytest.raises(ConversationFileError, match=fault):
        list(reader("\n".join(map(json.dumps, made))))


def test_a_deep_tree_needs_no_recursion(reader: Any) -> None:
    rows = [
        {
            "message_id": i,
            "parent_id": i - 1 if i else None,
            "role": ("prompter", "assistant")[i % 2],
            "text": "a",
            "message_tree_id": "t",
        }
        for i in range(5000)
    ]
    [conversation] = reader("\n".join(map(json.dumps, rows)))
    assert len(conversation.turns) == 5000


@pytest.mark.parametrize("reply", [5, {"role": "boss", "text": "a"}, {"role": "assistant", "text": 5}])
def test_a_message_that_cannot_be_used_is_told(reader: Any, reply: Any) -> None:
    made = reader('["a", "b"]\n' + json.dumps(tree(node("m", "a", reply))), on_error="skip")
    assert len(list(made)) == 1 and made.report.skipped == 1
