"""Split a tokenizer's chat template into its own text, as token ids, and the slots of persona and turns.

The template is rendered with placeholders in place of the persona and the turns. The text between the placeholders is
encoded with control tokens. The persona and the turns are encoded without, so that they can never become control tokens
of the template.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

PERSONA = -1
"""The slot of a persona. The slot of a turn is the turn's index."""

FOLD = "\n\n"
"""The text between a persona and the first turn if a template does not support system messages."""

FILLERS = ("", "...")
"""Texts to try as a first user turn if the assistant speaks first and the template requires the user to begin."""

PROBE = "hello"
"""Placeholder text beside which the words of a template are encoded: ids can depend on neighbouring text."""


@dataclass(frozen=True, slots=True)
class TurnShape:
    """The shape of a conversation, on which the words of a template depend.

    Args:
        persona: whether there is a persona.
        turns: number of turns, at least one; speakers alternate.
        last_is_reply: whether the assistant spoke the last turn.
        is_open: whether the assistant's next turn begins at the end.
    """

    persona: bool
    turns: int
    last_is_reply: bool
    is_open: bool

    def is_reply(self, turn: int) -> bool:
        """Return whether the assistant speaks a turn."""
        return ((self.turns - 1 - turn) % 2 == 0) == self.last_is_reply


@dataclass(frozen=True, slots=True)
class Pieces:
    """Token ids of a template's own text for one shape, in parts: the text of slot `slots[n]` follows `words[n]`."""

    words: tuple[tuple[int, ...], ...]
    slots: tuple[int, ...]


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        tokenizer: a tokenizer with a chat template.
        reasoning: whether the template is asked to let the assistant reason, if it has the variable `enable_thinking`.

    Attributes:
        trims: whether the template removes the white space around the texts of both roles.

    Raises:
        ValueError: when the template does not show a conversation turn by turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, reasoning: bool = False) -> None:
        self._tokenizer = tokenizer
        self._options = {"enable_thinking": reasoning, "thinking": reasoning}
        self._encode_words = lru_cache(maxsize=None)(self._encode)
        self.pieces = lru_cache(maxsize=1024)(self._pieces)
        """Return the words of the template for a shape, and the order of its texts."""
        self._filler: str | None = None
        self._has_system = True
        self._has_system = self._accepts(TurnShape(True, 1, False, True))
        begins = [TurnShape(persona, 2, False, True) for persona in (False, True)]
        for self._filler in (None, *FILLERS):
            if all(map(self._accepts, begins)):
                break
        self.trims = self._find_trims()

    @property
    def opening(self) -> str:
        """The template's text directly before a reply."""
        words = self.pieces(TurnShape(False, 1, False, True)).words[-1]
        return str(self._tokenizer.decode([*words], skip_special_tokens=False))

    def ids(self, text: str) -> list[int]:
        """Return the ids of words of the template, control tokens included."""
        encoded: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return encoded

    def _accepts(self, shape: TurnShape) -> bool:
        try:
            self._pieces(shape)
        except ValueError:
            return False
        return True

    def _find_trims(self) -> bool:
        """Return whether the template removes the white space around the texts of both roles."""
        texts = [secrets.token_hex(12) for _ in range(2)]
        messages = [
            {"role": role, "content": f"\t {text} \t"} for role, text in zip(("user", "assistant"), texts, strict=True)
        ]
        rendered = self._render(messages, is_open=False)
        return not any(f"\t {text}" in rendered or f"{text} \t" in rendered for text in texts)

    def _pieces(self, shape: TurnShape) -> Pieces:
        """Render a shape with placeholders, and encode the template's text between the placeholders."""
        names = {slot: f"x{secrets.token_hex(12)}x" for slot in range(PERSONA, shape.turns)}
        rendered = self._render(self._messages(shape, names), is_open=shape.is_open)
        slots = {name: slot for slot, name in names.items() if shape.persona or slot != PERSONA}
        parts = re.split(f"({'|'.join(slots)})", rendered)
        found = [slots[name] for name in parts[1::2]]
        if sorted(found) != sorted(slots.values()) or [slot for slot in found if slot >= 0] != [*range(shape.turns)]:
            raise ValueError(self._refusal("it leaves out, repeats or reorders the texts of some turns"))
        last = len(parts) - 1
        words = (self._encode_words(words, i > 0, i < last) for i, words in enumerate(parts) if i % 2 == 0)
        return Pieces(tuple(words), tuple(found))

    def _messages(self, shape: TurnShape, names: dict[int, str]) -> list[dict[str, str]]:
        """Return the messages of a shape with placeholders for the texts."""
        roles = ["assistant" if shape.is_reply(turn) else "user" for turn in range(shape.turns)]
        messages = [{"role": role, "content": names[turn]} for turn, role in enumerate(roles)]
        is_folded = shape.persona and not self._has_system
        if roles[0] == "assistant" and (is_folded or self._filler is not None):
            messages.insert(0, {"role": "user", "content": "" if is_folded else self._filler or ""})
        if is_folded:
            texts = filter(None, (names[PERSONA], messages[0]["content"]))
            messages[0] = {"role": "user", "content": FOLD.join(texts)}
        elif shape.persona:
            messages.insert(0, {"role": "system", "content": names[PERSONA]})
        return messages

    def _render(self, messages: Sequence[dict[str, str]], *, is_open: bool) -> str:
        options: Any = self._options
        try:
            rendered = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=is_open, **options
            )
        except Exception as error:  # of a template's code, such as a division by zero
            roles = ", ".join(message["role"] for message in messages)
            raise ValueError(self._refusal(f"it refuses the roles {roles}: {error}")) from error
        assert isinstance(rendered, str)
        return rendered

    def _encode(self, words: str, after_text: bool, before_text: bool) -> tuple[int, ...]:
        """Return the ids of words between two texts, encoded with placeholder texts beside them."""
        before, after = PROBE * after_text, PROBE * before_text
        ids = self.ids(before + words + after)
        probe = self.ids(PROBE)
        stop = len(ids) - len(probe) * before_text
        start = len(probe) * after_text
        if start <= stop and [*probe * after_text, *probe * before_text] == [*ids[:start], *ids[stop:]]:
            return tuple(ids[start:stop])
        return tuple(self.ids(words))

    def _refusal(self, why: str) -> str:
        place = f"{self._tokenizer.name_or_path}: " if self._tokenizer.name_or_path else ""
        return (
            f"{place}the chat template cannot lay out a conversation: {why}; choose the layout of separators "
            "(model.layout: separators, which needs fine-tuning), or correct the template (chat_template.jinja)"
        )
