"""Options of a model's layout, and the file beside a model that keeps them: `conversation.json`."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from convmodel.data.json_file import read_json_object
from convmodel.tokens.conversation_layout import LayoutName

VERSION = 1
"""Version of the format of conversation.json."""

MOST_SPEAKERS = 64
"""Largest number of speakers with a token type of their own."""

LayoutChoice = Literal["auto"] | LayoutName
"""A layout, or the tokenizer's own chat template if it has one, and separators otherwise."""


@dataclass(frozen=True, slots=True)
class LayoutOptions:
    """Options of a layout.

    Args:
        layout: "separators"; "chat_template", the tokenizer's own; "auto", the template if there is one; or "encoder",
            which every encoder-decoder has, and no other model.
        token_types: whether separators come with token types; a chat template has none.
        max_speakers: number of speakers with a token type of their own, 2 to 64. If it is 2, or without token
            types, groups are laid out as two sides: the speaker who replies, and all others.
        reasoning: whether a chat template that knows `enable_thinking` lets the model reason before it replies.

    Raises:
        ValueError: for a value that is not allowed.
    """

    layout: LayoutChoice = "auto"
    token_types: bool = True
    max_speakers: int = 2
    reasoning: bool = False

    def __post_init__(self) -> None:
        allowed = ("auto", *get_args(LayoutName))
        if self.layout not in allowed:
            raise ValueError(f"layout={self.layout!r}; allowed are {', '.join(allowed)}")
        for name in ("token_types", "reasoning"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}; allowed are true and false")
        if type(self.max_speakers) is not int or not 2 <= self.max_speakers <= MOST_SPEAKERS:
            raise ValueError(f"max_speakers={self.max_speakers!r}; allowed are 2 to {MOST_SPEAKERS}")


def choose_for(is_encoder_decoder: bool, layout: LayoutChoice) -> LayoutChoice:
    """Return the layout for a model's architecture and a requested layout; ValueError if the model cannot have it."""
    if layout != "auto" and (layout == "encoder") != is_encoder_decoder:
        kind = "an encoder-decoder has the layout 'encoder'" if is_encoder_decoder else "only encoder-decoders have it"
        raise ValueError(f"layout={layout!r}: {kind}; leave it out")
    return "encoder" if is_encoder_decoder else layout


def write_layout_options(options: LayoutOptions, file: Path) -> None:
    """Write the options of a model's layout."""
    file.write_text(json.dumps({"version": VERSION} | asdict(options), indent=2) + "\n", encoding="utf-8")


def read_layout_options(file: Path) -> dict[str, Any]:
    """Return the options of a model's layout by name.

    Raises:
        ValueError: for a file that is not what `write_layout_options` writes.
    """
    values = read_json_object(file, remedy="save the model again")
    names = [field.name for field in fields(LayoutOptions)]
    if values.keys() != {"version", *names} or values["version"] != VERSION:
        raise ValueError(
            f"{file}: contains {json.dumps(values)[:200]}; this convmodel reads an object with "
            f'"version": {VERSION}, {", ".join(map(json.dumps, names))}; save the model again'
        )
    try:
        options = LayoutOptions(**{name: values[name] for name in names})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return asdict(options)
