"""Parsing of typed input: option values such as `name=value`, and slash commands of the chat and the bot."""

import ast
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NO_PERSONA = "there is no persona; /persona I like rain. gives one"

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and parsed value of `name=value`. Raises ValueError without a name or `=`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ValueError(f"{text!r} is not a setting; write name=value, such as temperature=0.7")
    return name.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """Parse a JSON value or a Python literal, and return its value. Any other text is returned as a string.

    true, false, none and null may have any case.

    Example:
        >>> [parse_value(text) for text in ("0.7", "True", "[1, 2]", "['a']", "hello")]
        [0.7, True, [1, 2], ['a'], 'hello']
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if value is None or isinstance(value, bool | int | float | str | list | dict):
            return value
    return text


def preset_options(presets: Mapping[str, Mapping[str, Any]], name: str | None) -> Mapping[str, Any]:
    """Return the options of a preset, or an empty mapping if `name` is None.

    Raises ValueError for an unknown preset. The message names the known ones.
    """
    if name is not None and name not in presets:
        known = f"there are {', '.join(presets)}" if presets else "this model has none"
        raise ValueError(f"there is no preset {name!r}; {known}")
    return {} if name is None else presets[name]


def show_value(value: Any) -> str:
    """Format a value as JSON, which `parse_value` reads back; a value that JSON lacks is formatted by `str`."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


# Slash commands


def is_command(line: str) -> bool:
    """Return whether a line is a command, which begins with one slash but not with two."""
    return line.startswith("/") and not line.startswith("//")


def unescape(line: str) -> str:
    """Return the text of a line that is not a command, with `/` in place of a leading `//`."""
    return line[1:] if line.startswith("//") else line


def parse_command(line: str) -> tuple[str, str]:
    """Return the name of a command line, without the slash, and its argument, which may be empty."""
    name, _, argument = line[1:].partition(" ")
    return name.strip(), argument.strip()


def parse_option(argument: str) -> tuple[str, str]:
    """Return name and value of `NAME VALUE` or `NAME=VALUE`; both may be empty.

    Example:
        >>> [parse_option(text) for text in ("top_p 0.9", "top_p=0.9", "top_p", "")]
        [('top_p', '0.9'), ('top_p', '0.9'), ('top_p', ''), ('', '')]
    """
    if "=" in argument.split(" ")[0]:
        argument = argument.replace("=", " ", 1)
    name, _, value = argument.partition(" ")
    return name, value.strip()


@dataclass(frozen=True)
class TypedCommand:
    """Slash command.

    Args:
        name: name, without the slash.
        arguments: syntax of the arguments; empty for a command without arguments.
        help: description.
    """

    name: str
    arguments: str
    help: str

    @property
    def usage(self) -> str:
        """Syntax of the command."""
        return f"/{self.name} {self.arguments}".rstrip()


def edit_persona(persona: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return the persona after the command `/persona` with an argument.

    `TEXT` replaces the persona, `add TEXT` appends a sentence, and `clear` removes all. An empty argument changes
    nothing. Raises ValueError for `add` without a sentence.
    """
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
