"""Parsing of slash commands, shared by the chat in a terminal and the Telegram bot."""

import difflib
from collections.abc import Iterable, Sequence

NO_PERSONA = "there is no persona; /persona I like rain. gives one"


def is_command(line: str) -> bool:
    """Return whether a line is a command: it begins with one slash, not with two."""
    return line.startswith("/") and not line.startswith("//")


def unescape(line: str) -> str:
    """Return the text of a line that is not a command: a leading `//` stands for `/`."""
    return line[1:] if line.startswith("//") else line


def parse_command(line: str) -> tuple[str, str]:
    """Split a line that `is_command` accepts into a name without the slash and an argument, which may be empty."""
    name, _, argument = line[1:].partition(" ")
    return name.strip(), argument.strip()


def parse_option(argument: str) -> tuple[str, str]:
    """Split `NAME VALUE` or `NAME=VALUE`; either part may be empty.

    Example:
        >>> [parse_option(text) for text in ("top_p 0.9", "top_p=0.9", "top_p", "")]
        [('top_p', '0.9'), ('top_p', '0.9'), ('top_p', ''), ('', '')]
    """
    if "=" in argument.split(" ")[0]:
        argument = argument.replace("=", " ", 1)
    name, _, value = argument.partition(" ")
    return name, value.strip()


def edit_persona(persona: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return a persona edited by `TEXT`, `add TEXT` or `clear`; raise ValueError for `add` without a sentence."""
    action, _, sentence = argument.partition(" ")
    if argument == "clear":
        return ()
    if action == "add":
        if not sentence.strip():
            raise ValueError("there is no sentence to add; write /persona add I like rain.")
        return (*persona, sentence.strip())
    return (argument,) if argument else tuple(persona)


def unknown_command(name: str, known: Sequence[str]) -> str:
    """Return the error message for an unknown command, with the closest known name."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    guess = f"did you mean /{near[0]}? " if near else ""
    return f"there is no command /{name}; {guess}/help lists them, and //{name} says /{name}"
