"""Building a conversation from the exchanges (a text and its response) of an episode, for both ParlAI formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.data.formats.base import CandidateExample, Record

_PERSONA = "your persona:"
_PARTNER = "partner's persona:"
_SILENCE = "__SILENCE__"  # ParlAI's text before a response that begins the conversation


def split_text(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the spoken lines of a text, the sentences of the persona in it, and those of the partner's persona."""
    lines = text.split("\n")
    spoken = [line for line in lines if not line.startswith((_PERSONA, _PARTNER)) and line != _SILENCE]
    return spoken, _after(_PERSONA, lines), _after(_PARTNER, lines)


def _after(mark: str, lines: Sequence[str]) -> list[str]:
    return [line.removeprefix(mark).strip() for line in lines if line.startswith(mark)]


class Episode:
    """Builder of the conversation of an episode.

    Args:
        line: the number of the first line of the episode, counted from 1.
    """

    def __init__(self, line: int) -> None:
        self.line = line
        self._heard: list[str] = []
        self._turns: list[str] = []
        self._persona: list[str] = []
        self._meta: dict[str, Any] = {}
        self._selections: list[CandidateExample] = []

    def add_text(self, text: str) -> None:
        """Add a text before the next response. Its lines with personas are added to the persona or the meta."""
        heard, persona, partner = split_text(text)
        self._heard.extend(heard)
        self._persona.extend(persona)
        if partner:
            self._meta.setdefault("partner_persona", []).extend(partner)

    def add_response(
        self, labels: Sequence[str], *, line: int, candidates: Sequence[str], meta: Mapping[str, str]
    ) -> None:
        """Add the response to the texts since the last response.

        Args:
            labels: the response, followed by other correct responses, which are removed from the candidates. A response
                without a text before it is appended to the last turn, and is not a selection example.
            line: the line number of the response.
            candidates: the candidates. Only those of the last response of the episode are kept in the meta.
            meta: other fields of the line; the last value of each is kept.
        """
        heard = "\n".join(self._heard).strip("\n")
        self._heard.clear()
        label = labels[0]
        if heard.strip():
            context = [*self._turns, heard]
            self._turns = [*context, label]
            if candidates:
                allowed = [candidate for candidate in candidates if candidate == label or candidate not in labels]
                self._selections.append(CandidateExample(line, context, label, allowed))
        elif self._turns:
            self._turns[-1] += "\n" + label
        else:
            self._turns.append(label)
        self._meta.update(meta)
        self._meta.pop("candidates", None)
        if candidates:
            self._meta["candidates"] = list(candidates)

    def record(self) -> Record:
        """Return the conversation. Texts after the last response become its last turn."""
        heard = "\n".join(self._heard).strip("\n")
        turns = [*self._turns, heard] if heard.strip() else self._turns
        return Record(self.line, turns, self._persona, self._meta or None, self._selections)
