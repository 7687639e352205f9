"""Threads of Reddit's comments as conversations."""

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.reddit import Reddit
from convmodel.data.corpus.rows import Row

LIMITS = TurnLimits()


def comment(key: str, parent: str, body: str = "", **others: Any) -> dict[str, Any]:
    names = {"id": key, "parent_id": parent, "link_id": "t3_x", "author": key, "body": body or f"text {key}"}
    return names | others


def read(path: Path, *lines: Any, limits: TurnLimits = LIMITS) -> tuple[list[Row], Counter[str]]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    counts: Counter[str] = Counter()
    return list(Reddit().rows(str(path), limits, counts)), counts


def conversations(*comments: dict[str, Any], limits: TurnLimits = LIMITS) -> list[list[str]]:
    rows = [[c["link_id"], c["id"], c["parent_id"], c["author"], c["body"]] for c in comments]
    return list(Reddit().conversations(sorted(rows), limits))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Fish &amp; chips &gt; all", "Fish & chips > all"),
        ("&gt; quoted\n\nAnswer", "Answer"),
        ("see [this page](https://en.wikipedia.org/wiki/A_(b)) and [x]", "see this page and [x]"),
        ("one\n\n\n  two  \n", "one\ntwo"),
        ("&#x200B;\n\nkept", "kept"),
    ],
)
def test_the_text_of_a_comment_has_no_markup(tmp_path: Path, body: str, expected: str) -> None:
    [row], _ = read(tmp_path / "x", comment("a", "t3_x", body))
    assert row == ["t3_x", "a", "t3_x", "a", expected]


def test_what_is_left_out_is_counted_by_its_reason(tmp_path: Path) -> None:
    lines = [
        comment("a", "t3_x", "[deleted]"),
        comment("b", "t3_x", "[removed]"),
        comment("c", "t3_x", "kept", author="AutoModerator"),
        comment("d", "t3_x", "kept", author="remind-bot"),
        comment("e", "t3_x", "I am a bot, beep boop."),
        comment("f", "t3_x", "&gt; only a quote"),
        comment("g", "t3_x", "word " * 129),
        '{"id": "broken"',
        '{"id": "h"}',
        '["a list"]',
        {"id": 1, "parent_id": "t3_x", "link_id": "t3_x", "author": "a", "body": "a number as id"},
        comment("i", "t3_x", "I robot", author="abbot"),
        comment("j", "t3_x", "of somebody", author="[deleted]"),
    ]
    rows, counts = read(tmp_path / "x", *lines)
    assert [row[1] for row in rows] == ["i", "j"]
    assert counts == {
        "read": 13,
        "kept": 2,
        "deleted": 2,
        "of a bot": 3,
        "empty": 1,
        "too long": 1,
        "not a comment": 4,
    }


def test_a_conversation_goes_on_with_the_longest_branch_and_others_begin_with_what_they_answer() -> None:
    tree = [
        comment("a", "t3_x"),
        comment("b", "t1_a"),
        comment("c", "t1_a"),
        comment("d", "t1_c"),
        comment("e", "t1_c"),
        comment("f", "t1_gone"),
        comment("g", "t1_f"),
    ]
    assert conversations(*tree) == [
        ["text a", "text c", "text d"],
        ["text c", "text e"],
        ["text a", "text b"],
        ["text f", "text g"],
    ]


def test_every_reply_is_in_one_conversation_after_its_parent() -> None:
    source = random.Random(0)
    for size in (1, 2, 30, 400):
        parents = ["t3_x" if n == 0 or source.random() < 0.1 else f"t1_{source.randrange(n)}" for n in range(size)]
        tree = [comment(str(n), parent, f"text {n}") for n, parent in enumerate(parents)]
        source.shuffle(tree)
        pairs = Counter(
            pair for turns in conversations(*tree, limits=TurnLimits(max_turns=1_000)) for pair in pairwise(turns)
        )
        replies = {(f"text {p[3:]}", f"text {n}") for n, p in enumerate(parents) if p != "t3_x"}
        assert pairs == dict.fromkeys(replies, 1)


def test_a_path_of_ten_thousand_comments_is_no_trouble_and_is_divided() -> None:
    chain = [comment(f"{n:05d}", f"t1_{n - 1:05d}" if n else "t3_x") for n in range(10_000)]
    found = conversations(*chain)
    assert len(found) == 500 and all(len(turns) == 20 for turns in found)


def test_successive_comments_of_one_author_are_one_turn() -> None:
    chain = [
        comment("a", "t3_x", author="ida"),
        comment("b", "t1_a", author="ida"),
        comment("c", "t1_b", author="[deleted]"),
        comment("d", "t1_c", author="[deleted]"),
    ]
    assert conversations(*chain) == [["text a\ntext b", "text c", "text d"]]  # two deleted accounts may be two people


def test_comments_that_answer_each_other_in_a_circle_do_not_hang() -> None:
    assert conversations(comment("a", "t1_b"), comment("b", "t1_a"), comment("c", "t1_c")) == [["text c"]]
