"""Tab completion of slash commands and their arguments."""

import os
from pathlib import Path

from convmodel.cli.chat.slash import COMMANDS, find_command
from convmodel.cli.chat.state import Chat
from convmodel.responders.typed_input import is_command


def completions(chat: Chat, typed: str) -> tuple[int, list[str]]:
    """Return the number of characters before the cursor to replace, and the completions that may replace them."""
    if not is_command(typed) or "\n" in typed:
        return 0, []
    name, space, rest = typed[1:].partition(" ")
    if not space:
        return len(name) + 1, [f"/{command.name}" for command in COMMANDS if command.name.startswith(name.lower())]
    try:
        kind = find_command(name).completes
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


def common_prefix(words: list[str]) -> str:
    """Return the longest common prefix of all words."""
    first = min(words, default="")
    last = max(words, default="")
    differing = (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(differing, len(first))]


def _files(typed: str) -> list[str]:
    folder, start = os.path.split(typed)
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    hidden = start.startswith(".")
    names = [entry for entry in entries if entry.name.startswith(start) and (hidden or entry.name[0] != ".")]
    return [os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "") for entry in names]
