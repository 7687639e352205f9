"""Completion of commands, options, presets and files by the Tab key."""

import random
from pathlib import Path

import pytest

from convmodel.cli.chat.completion import common_prefix, completions
from convmodel.cli.chat.state import Chat
from tests.fakes import FakeResponder


@pytest.fixture
def chat() -> Chat:
    return Chat(FakeResponder(), source=random.Random(0))


def test_the_tab_key_completes_commands_options_presets_and_files(
    chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.jsonl").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "talks").mkdir()
    assert completions(chat, "/se") == (3, ["/set", "/seed"])
    assert completions(chat, "/set te") == (2, ["temperature"])
    assert completions(chat, "/preset ") == (0, ["bold", "sober", "off"])
    assert completions(chat, "/help pr") == (2, ["preset"])
    assert completions(chat, "/save ta") == (2, ["talk.jsonl", "talks/"])
    assert completions(chat, "/save ! ta") == (2, ["talk.jsonl", "talks/"])
    assert completions(chat, "/load ") == (0, ["talk.jsonl", "talks/"])
    assert completions(chat, "/load .h") == (2, [".hidden"])
    for nothing in ("Hello", "//set", "", "/nope x", "/undo x", "/load nowhere/x", "/set\n"):
        assert completions(chat, nothing)[1] == []


def test_the_common_prefix_of_all_completions_is_typed() -> None:
    assert common_prefix(["/save", "/set", "/seed"]) == "/s"
    assert common_prefix(["/set", "/settings"]) == "/set"
    assert common_prefix(["/why"]) == "/why" and common_prefix([]) == "" == common_prefix(["a", "b"])
