"""Agreement of docs/telegram.md with the code."""

import argparse
import re
from pathlib import Path

from convmodel.cli.commands.telegram import COMMAND
from convmodel.serving.telegram.commands import COMMANDS

DOCS = (Path(__file__).parents[3] / "docs" / "telegram.md").read_text(encoding="utf-8")
HEAD = "| command | |\n|---|---|\n"


def test_the_docs_list_the_commands_of_the_code() -> None:
    rows = "".join(f"| `{command.usage.replace('|', chr(92) + '|')}` | {command.help} |\n" for command in COMMANDS)
    assert f"{HEAD}{rows}\n" in DOCS


def test_the_docs_list_every_option_of_the_command_itself() -> None:
    parser = argparse.ArgumentParser()
    COMMAND.add_options(parser)
    [group] = [group for group in parser._action_groups if group.title == "server and storage"]
    own = [action.option_strings[0] for action in group._group_actions]
    assert re.findall(r"^\| `(--\w[\w-]*)`", DOCS, re.MULTILINE) == own
