"""What was typed so far in, what the Tab key can make of it out."""

import os
from pathlib import Path

from convmodel.cli.chat.slash import COMMANDS, find
from convmodel.cli.chat.state import Chat


def completions(chat: Chat, typed: str) -> tuple[int, list[str]]:
    """Words that go on from what was typed: commands, option names, presets, files.

    Args:
        typed: the text up to the cursor.

    Returns:
        How many of the last characters they replace, and the words.
    """
    if not typed.startswith("/") or typed.startswith("//") or "\n" in typed:
        return 0, []
    name, space, rest = typed[1:].partition(" ")
    if not space:
        return len(name) + 1, [f"/{command.name}" for command in COMMANDS if command.name.startswith(name.lower())]
    try:
        kind = find(name).completes
    except ValueError:
        return 0, []
    if kind == "files":
        path = rest[2:] if rest[:2] in ("! ", "+ ") else rest
        return len(path), _files(path)
    words = {
        "options": list(chat.options),
        "presets": [*chat.responder.presets, "off"],
        "commands": [command.name for command in COMMANDS],
    }.get(kind, [])
    return len(rest), [word for word in words if word.startswith(rest)]


def common_start(words: list[str]) -> str:
    """What all words begin with."""
    first, last = min(words, default=""), max(words, default="")
    return first[: next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _files(typed: str) -> list[str]:
    folder, start = os.path.split(typed)
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    hidden = start.startswith(".")
    names = [entry for entry in entries if entry.name.startswith(start) and (hidden or entry.name[0] != ".")]
    return [os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "") for entry in names]
