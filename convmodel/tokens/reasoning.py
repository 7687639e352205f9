"""Separate the reasoning at the beginning of a reply, such as `<think>...</think>`, from its text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

TagPair = tuple[str, str]
"""The tags before and after reasoning."""

THINK: TagPair = ("<think>", "</think>")

OTHER_TAGS: tuple[TagPair, ...] = (
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
)
"""Tags that are recognised only if the chat template contains both tags of a pair."""


@dataclass(frozen=True)
class ReasoningTags:
    """The tags of a model's reasoning.

    Args:
        pairs: the pairs of tags that enclose reasoning.
        opened: the pair whose first tag ends the context, so that the reply begins with reasoning; None if the context
            ends with no such tag.
        special: a tag by its token id, for tags that are control tokens, because decoded text does not contain these.
    """

    pairs: tuple[TagPair, ...] = (THINK,)
    opened: TagPair | None = None
    special: Mapping[int, str] = field(default_factory=dict)


def find_tags(template: str, opening: str, special: Mapping[int, str]) -> ReasoningTags:
    """Return the reasoning tags of a chat template; `<think>` is always among them.

    Args:
        template: the Jinja source of the chat template.
        opening: the template's text directly before a reply.
        special: the tokenizer's control tokens by id.
    """
    pairs = (THINK, *(pair for pair in OTHER_TAGS if all(tag in template for tag in pair)))
    opened = [pair for pair in pairs if opening.rstrip().endswith(pair[0])]
    tags = {tag for pair in pairs for tag in pair}
    return ReasoningTags(pairs, opened[0] if opened else None, {i: tag for i, tag in special.items() if tag in tags})


class ReasoningSplitter:
    """Split a reply, as it is decoded, into its reasoning and its text."""

    def __init__(self, tags: ReasoningTags) -> None:
        self._tags = tags
        self._state: Literal["start", "reasoning", "after", "text"] = "start"
        self._pair = tags.pairs[0]
        self._held = ""
        self.text = ""
        self.reasoning = ""
        if tags.opened is not None:
            self._pair = tags.opened
            self._state = "reasoning"

    @classmethod
    def for_text(cls) -> Self:
        """Return a splitter that treats the reply as text without reasoning and strips leading white space."""
        splitter = cls(ReasoningTags())
        splitter._state = "after"
        return splitter

    def feed(self, piece: str, token: int | None = None) -> str:
        """Add the next decoded characters; return the text of the reply that is complete so far and not yet returned.

        Characters that may belong to a tag are held back. `token` is the id of the token with which `piece` ends, which
        is needed for tags that are control tokens.
        """
        self._held += piece + (self._tags.special.get(token, "") if token is not None else "")
        if self._state == "start":
            self._start()
        if self._state == "reasoning":
            self._reason()
        if self._state == "after" and self._held.strip():
            self._held = self._held.lstrip()
            self._state = "text"
        return self._emit() if self._state == "text" else ""

    def finish(self, piece: str = "") -> str:
        """Add the last characters, and return the text of the reply that is not yet returned."""
        text = self.feed(piece)
        if self._state == "reasoning":
            self.reasoning = (self.reasoning + self._held).strip()
        elif self._state == "start":
            text += self._emit()
        return text

    def _emit(self) -> str:
        text = self._held
        self._held = ""
        self.text += text
        return text

    def _start(self) -> None:
        begin = self._held.lstrip()
        for pair in self._tags.pairs:
            if begin.startswith(pair[0]):
                self._pair = pair
                self._held = begin.removeprefix(pair[0])
                self._state = "reasoning"
                return
        if not any(pair[0].startswith(begin) for pair in self._tags.pairs):
            self._state = "text"

    def _reason(self) -> None:
        before, tag, after = self._held.partition(self._pair[1])
        if tag:
            self.reasoning = (self.reasoning + before).strip()
            self._held = after
            self._state = "after"
            return
        kept = _uncertain_length(self._held, self._pair[1])
        self.reasoning += self._held[: len(self._held) - kept]
        self._held = self._held[len(self._held) - kept :]


def _uncertain_length(text: str, tag: str) -> int:
    """Return the number of characters at the end of a text that may be the beginning of `tag`."""
    sizes: Sequence[int] = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((size for size in sizes if tag.startswith(text[-size:])), 0)
