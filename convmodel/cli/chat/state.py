"""State of a chat: its turns, settings and seeds, and its requests to a responder."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from convmodel.data.conversation import Conversation, check_speakers, check_turns
from convmodel.data.options import ReadOptions
from convmodel.responders.protocol import Names, Reply, ReplyHandle, Responder, Session
from convmodel.responders.typed_input import preset_options

_SEEDS = 1_000_000
"""Upper limit of seeds that are drawn at random, so that they are short enough to type."""


@dataclass(frozen=True)
class Mark:
    """A state of the conversation that `Chat.restore` returns to."""

    turns: tuple[str, ...]
    last: Reply | None
    chosen: int
    attempt: int
    names: tuple[str, ...] = ()


USER = "user"
"""The default name of the user."""


class Chat:
    """A conversation between a user, who speaks first, and a Responder.

    Args:
        speaker: name of the speaker as whom the responder replies; if given, all turns have names.
        options: override the responder's options and the preset.
        seed: seed of the first reply to each turn; each retry increments it. None draws a seed for each reply.
        source: random generator that draws the seeds; by default seeded by the operating system.

    Raises:
        TypeError, ValueError: for an invalid persona, preset or option.
    """

    def __init__(
        self,
        responder: Responder,
        *,
        persona: Iterable[str] = (),
        preset: str | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        source: random.Random | None = None,
        read_options: ReadOptions | None = None,
        speaker: str | None = None,
    ) -> None:
        self.responder = responder
        self.named = speaker is not None
        [self.speaker] = check_speakers(["assistant" if speaker is None else speaker], 1)
        self.me = USER
        self.persona = check_turns(persona, what="persona sentence")
        self.seed = seed
        self.read_options = read_options
        self.preset: str | None = None
        self.own: dict[str, Any] = {}
        self.last: Reply | None
        self._replace((), None)
        self._source = source or random.Random()
        if preset is not None:
            self.use_preset(preset)
        self.set_options(options or {})

    # Turns

    @property
    def waiting(self) -> bool:
        """Whether the last turn waits for a reply."""
        return bool(self.names) and self.names[-1] != self.speaker

    def mark(self) -> Mark:
        """Return the current state of the conversation."""
        return Mark(self.turns, self.last, self.chosen, self._attempt, self.names)

    def restore(self, mark: Mark) -> None:
        """Return to an earlier state of the conversation."""
        self.turns = mark.turns
        self.names = mark.names
        self.last = mark.last
        self.chosen = mark.chosen
        self._attempt = mark.attempt

    def say(self, text: str) -> None:
        """Add the user's turn, or a new line to a turn of the same speaker that still waits for a reply."""
        [text] = check_turns([text])
        if self.names and self.names[-1] == self.me:
            self.turns = (*self.turns[:-1], f"{self.turns[-1]}\n{text}")
        else:
            self._add(text, self.me)
        self._forget_reply()
        self._adding_persona = False

    def start(self) -> ReplyHandle[Reply]:
        """Start a reply to the waiting turn; raise ValueError when no turn waits."""
        if not self.waiting:
            raise ValueError("nothing waits for a reply; say something first")
        seed = self._source.randrange(_SEEDS) if self.seed is None else self.seed + self._attempt
        names: Names = {"speakers": self.names, "speaker": self.speaker} if self.named else {}
        return self.responder.start(
            self.turns, persona=self.persona, options=self.settings, seed=seed, session=self.session, **names
        )

    def add_reply(self, reply: Reply) -> bool:
        """Add a reply as the next turn; return False and do nothing if it has no text."""
        if not reply.text.strip():
            return False
        self._add(reply.text, self.speaker)
        self.last = reply
        self.chosen = 0
        return True

    def choose(self, number: int) -> str:
        """Replace the last reply by another of its candidates, counted from 1, and return its text."""
        candidates = self.last_reply().candidates
        if not 1 <= number <= len(candidates):
            raise ValueError(f"there is no candidate {number}; there are 1 to {len(candidates)}")
        text = candidates[number - 1].text
        if not text.strip():
            raise ValueError(f"candidate {number} has no text; choose another")
        self.turns = (*self.turns[:-1], text)
        self.chosen = number - 1
        return text

    def last_reply(self) -> Reply:
        """Return the last reply; raise ValueError when the last turn is not a reply made in this chat."""
        if self.last is None or self.waiting:
            raise ValueError("there is no reply to look into; say something first")
        return self.last

    def undo(self) -> tuple[str, ...]:
        """Remove the last exchange, or the turn that waits for a reply, and return it."""
        if not self.turns:
            raise ValueError("there is nothing to take back")
        count = 1 if self.waiting else 2
        removed = self.turns[-count:]
        self._drop(count)
        self._forget_reply()
        return removed

    def retry(self) -> None:
        """Remove the last reply, so that `start` makes another one with another seed."""
        if not self.turns:
            raise ValueError("there is nothing to reply to; say something first")
        if not self.waiting:
            self._drop(1)
        self._forget_reply(attempt=self._attempt + 1)

    def reset(self) -> None:
        """Remove all turns; persona, options and seed stay."""
        self._replace((), None)

    # Saving and loading

    def conversation(self) -> Conversation:
        """Return the turns so far as a conversation for a file; raise ValueError for fewer than two."""
        if len(self.turns) < 2:
            raise ValueError("a conversation needs two turns; talk first")
        return Conversation(self.turns, self.persona, self.meta, self.names if self.named else None)

    def load(self, conversation: Conversation) -> None:
        """Continue a conversation, with its turns and its persona, and with names if this chat has them."""
        self.persona = conversation.persona
        if not self.named:
            conversation = conversation.alternating()
        self._replace(conversation.turns, conversation.meta, conversation.speakers)

    def _replace(
        self, turns: tuple[str, ...], meta: Mapping[str, Any] | None, names: tuple[str, ...] | None = None
    ) -> None:
        sides = (self.me, self.speaker)
        self.turns = turns
        self.names = tuple(sides[turn % 2] for turn in range(len(turns))) if names is None else names
        self.meta = meta
        self.session = Session()
        self._adding_persona = False
        self._forget_reply()

    def _add(self, text: str, name: str) -> None:
        self.turns = (*self.turns, text)
        self.names = (*self.names, name)

    def _drop(self, count: int) -> None:
        self.turns = self.turns[:-count]
        self.names = self.names[:-count]

    def _forget_reply(self, *, attempt: int = 0) -> None:
        self.last = None
        self.chosen = 0
        self._attempt = attempt

    # Settings

    @property
    def settings(self) -> dict[str, Any]:
        """Options of a request: those of the preset and the user's."""
        return {**preset_options(self.responder.presets, self.preset), **self.own}

    @property
    def options(self) -> dict[str, Any]:
        """All options in effect, sorted by name."""
        return dict(sorted({**self.responder.options, **self.settings}.items()))

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Set options: all of them or, if one is invalid, none, and raise ValueError with the allowed values."""
        own = {**self.own, **options}
        self.responder.check_options({**preset_options(self.responder.presets, self.preset), **own})
        self.own = own

    def unset(self, name: str) -> None:
        """Remove the user's value of an option."""
        if name not in self.own:
            raise ValueError(f"{name} was not set")
        self.own = {key: value for key, value in self.own.items() if key != name}

    def use_preset(self, name: str | None) -> None:
        """Switch to a preset, or to no preset, and remove the user's options; ValueError for an unknown preset."""
        self.responder.check_options(preset_options(self.responder.presets, name))
        self.preset = name
        self.own = {}

    def set_seed(self, seed: int | None) -> None:
        """Set the seed of later replies; None draws one for each reply."""
        self.seed, self._attempt = seed, 0

    def speak_as(self, name: str) -> None:
        """Set the name of the speaker of the user's next turns; raise ValueError for the name of the responder."""
        [name] = check_speakers([name], 1)
        if name == self.speaker:
            raise ValueError(f"{name} is the one who replies; give another name")
        if self.me == USER:  # the first name also applies to the earlier turns
            self.names = tuple(name if earlier == USER else earlier for earlier in self.names)
        self.me = name
        self.named = True

    def set_persona(self, persona: Iterable[str]) -> None:
        """Replace the persona."""
        self.persona = check_turns(persona, what="persona sentence")

    def add_persona(self, sentences: Iterable[str]) -> None:
        """Set persona sentences before a conversation: the first call replaces the persona, later calls extend it."""
        self.set_persona((*(self.persona if self._adding_persona else ()), *sentences))
        self._adding_persona = True
