"""Lines of what was heard and answered in, one conversation out; shared by ParlAI's two formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.data.formats.base import CandidateExample, Record

_PERSONA = "your persona:"
_PARTNER = "partner's persona:"
_SILENCE = "__SILENCE__"  # ParlAI's word for: the other side begins


class Episode:
    """A conversation as it grows.

    Args:
        line: where it begins, counted from 1.
    """

    def __init__(self, line: int) -> None:
        self.line = line
        self._heard: list[str] = []
        self._turns: list[str] = []
        self._persona: list[str] = []
        self._meta: dict[str, Any] = {}
        self._asked: list[CandidateExample] = []

    def hear(self, text: str) -> None:
        """Takes what one side says before the other answers; its persona lines are set aside."""
        for line in text.split("\n"):
            if line.startswith(_PERSONA):
                self._persona.append(line.removeprefix(_PERSONA).strip())
            elif line.startswith(_PARTNER):
                self._meta.setdefault("partner_persona", []).append(line.removeprefix(_PARTNER).strip())
            elif line != _SILENCE:
                self._heard.append(line)

    def answer(self, labels: Sequence[str], *, line: int, candidates: Sequence[str], meta: Mapping[str, str]) -> None:
        """Takes the response to all that was heard since the last one.

        Args:
            labels: the first is the response, the others are right too and no wrong candidates. When nothing was
                heard before it, it goes on with the turn before, and is nothing to be chosen.
            line: where it stands.
            candidates: in the meta only those of the last response of the episode.
            meta: whatever else the line carried; the last of each is kept.
        """
        heard = "\n".join(self._heard).strip("\n")
        self._heard.clear()
        label = labels[0]
        if heard.strip():
            context = [*self._turns, heard]
            self._turns = [*context, label]
            if candidates:
                others = [each for each in candidates if each == label or each not in labels]
                self._asked.append(CandidateExample(line, context, label, others))
        elif self._turns:
            self._turns[-1] += "\n" + label
        else:
            self._turns.append(label)
        self._meta.update(meta)
        self._meta.pop("candidates", None)
        if candidates:
            self._meta["candidates"] = list(candidates)

    def record(self) -> Record:
        """The conversation; what was heard last and never answered is its last turn."""
        heard = "\n".join(self._heard).strip("\n")
        turns = [*self._turns, heard] if heard.strip() else self._turns
        return Record(self.line, turns, self._persona, self._meta or None, self._asked)
