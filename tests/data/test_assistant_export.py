"""Exports of conversations with an assistant: what is left out, so that each conversation ends with an answer."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.assistant_export import ASSISTANT, USER, AssistantMessage, assistant_format, find_branch
from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Problem
from convmodel.data.options import ReadOptions


def split(conversation: Mapping[str, Any]) -> Iterator[AssistantMessage]:
    roles = {"u": USER, "a": ASSISTANT}
    for role, text in conversation["said"]:
        message = AssistantMessage(roles.get(role, ASSISTANT), text)
        yield message if role in roles else message._replace(kind=role)


FORMAT = assistant_format("x", "X", key="said", time="at", companions={"user.json": "email"}, split=split)


def read(folder: Path, content: str, **options: Any) -> tuple[list[Any], dict[str, int]]:
    (folder / "x.json").write_text(content)
    file = DataFile(InputFile(str(folder / "x.json")), ReadOptions(**options))
    found = [each.message if isinstance(each, Problem) else each.turns for each in FORMAT.read(file)]
    return found, dict(+file.notes.left_out)


def test_each_conversation_ends_with_an_answer(tmp_path: Path) -> None:
    said = [["system", "x"], ["u", "a"], ["tool", ""], ["a", "b"], ["a", "c"], ["branch", ""], ["u", "d"]]
    found, left_out = read(tmp_path, json.dumps([{"said": said, "at": 0}, {"said": [["u", "e"]]}, {"said": []}]))
    assert found == [["a", "b\nc"]]
    assert left_out == {
        **{"system message": 1, "tool message": 1, "message of another branch": 1, "unanswered message": 2}
    }


def test_an_answer_to_a_picture_is_left_out(tmp_path: Path) -> None:
    said = [["u", "a"], ["a", "b"], ["u", " "], ["a", "A cat."], ["u", "c"], ["a", "d"]]
    found, left_out = read(tmp_path, json.dumps([{"said": said}]))
    assert found == [["a", "b", "c", "d"]]
    assert left_out == {"media message": 2}


@pytest.mark.parametrize("layout", ["[%s, %s]", "%s\n%s", '{"x": 1}\n%s\n%s'])
def test_a_list_and_objects_on_lines_are_read(tmp_path: Path, layout: str) -> None:
    one, two = (json.dumps({"said": [["u", text], ["a", "b"]], "at": 86400 * 365}) for text in "xy")
    found, _ = read(tmp_path, layout % (one, two))
    wanted = ["the conversation has no 'said'; fetch the export again, or remove it"] * layout.startswith("{")
    assert found == [*wanted, ["x", "b"], ["y", "b"]]
    assert read(tmp_path, layout % (one, two), me="user")[0] == wanted


def test_files_beside_the_conversations_have_none(tmp_path: Path) -> None:
    (tmp_path / "user.json").write_text('{"email": "x"}')
    file = DataFile(InputFile(str(tmp_path / "user.json")), ReadOptions())
    assert FORMAT.score(Head(file.file, file.options)) == Certainty.SURE and not list(FORMAT.read(file))


@pytest.mark.parametrize(
    ("leaf", "branch"), [("c", ["a", "b", "c"]), ("d", ["a", "d"]), ("x", []), ("e", ["f", "e"]), ("g", ["g"])]
)
def test_a_branch_begins_at_the_root_and_is_never_circular(leaf: str, branch: list[str]) -> None:
    parents = {"a": None, "b": "a", "c": "b", "d": "a", "e": "f", "f": "e", "g": "lost"}
    assert find_branch(leaf, parents) == branch
