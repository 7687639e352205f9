"""docs/safety.md: what it shows is what happens."""

import re
from argparse import ArgumentParser
from pathlib import Path

import pytest

from convmodel.cli.options import add_policy_options
from convmodel.serving.safety import WordList
from convmodel.serving.safety.policy import SAY

TEXT = (Path(__file__).parents[3] / "docs" / "safety.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [text for of, text in fences if of == language]


def test_the_example_files_and_the_python_example_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [words] = blocks("")
    (tmp_path / "words.txt").write_text(words, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines, _ = blocks("python")
    exec(lines, {})
    comments = re.findall(r"  # (.*)", lines)
    assert capsys.readouterr().out.splitlines()[:2] == comments


def test_the_examples_of_matches_are_correct() -> None:
    [words] = blocks("")
    word_list = WordList(line for line in words.splitlines() if line and not line.startswith("#"))
    table = TEXT[TEXT.index("| difference | matched by `rain` |") : TEXT.index("The words of a phrase")]
    shown = re.findall(r"`([^`]+)`", table)
    assert len(shown) == 1 + 4 + 2 and all(word_list.find(text) == "rain" for text in shown)
    for text in ("RAIN!", "the rain's", "_rain_"):
        assert f'"{text}"' in TEXT and word_list.find(text) == "rain"
    for text in ("brain", "rains", "raiń"):
        assert text in TEXT and text not in word_list


def test_every_option_is_in_the_table_with_its_default() -> None:
    parser = ArgumentParser(add_help=False)
    add_policy_options(parser)
    for option in parser._option_string_actions:
        assert f"`{option}" in TEXT, option
    assert f'("{SAY}")' in TEXT and "(placeholder)" in TEXT and "(0.5)" in TEXT
