"""docs/chat.md says what the code does."""

import re
from argparse import ArgumentParser
from pathlib import Path

import pytest

from convmodel.cli.chat.slash import COMMANDS
from convmodel.cli.command import Command
from convmodel.cli.commands import chat, generate

DOCS = (Path(__file__).parents[3] / "docs" / "chat.md").read_text(encoding="utf-8")

OPTION = re.compile(r"(?<![\w-])--\w[\w-]*")


def test_the_table_of_commands_is_the_table_of_the_code() -> None:
    rows = [f"| `{command.usage.replace('|', chr(92) + '|')}` | {command.help} |" for command in COMMANDS]
    assert "\n".join(rows) in DOCS


@pytest.mark.parametrize("command", [chat.COMMAND, generate.COMMAND], ids=lambda command: str(command.name))
def test_every_option_is_in_the_docs_and_every_option_of_the_docs_is_there(command: Command) -> None:
    parser = ArgumentParser()
    command.add_options(parser)
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    part = DOCS if command.name == "chat" else DOCS[DOCS.index("## `python -m convmodel generate`") :]
    own = options - {"--help", "--format"}
    if command.name == "generate":
        own = {name for name in own if name not in ("--device", "--dtype", "--preset", "--set")}
    said = set(OPTION.findall(DOCS))
    assert {name for name in own if name not in ("--model", "--input", "--output")} <= set(OPTION.findall(part))
    both = ArgumentParser(conflict_handler="resolve")
    chat.COMMAND.add_options(both)
    generate.COMMAND.add_options(both)
    assert said <= {name for action in both._actions for name in action.option_strings}
