"""Turns, settings and seeds of one conversation in, requests to a Responder out; shows nothing."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from convmodel.data.conversation import Conversation, check_turns
from convmodel.responders.option_values import preset_options
from convmodel.responders.protocol import Reply, ReplyHandle, Responder, Session

_SEEDS = 1_000_000
"""Seeds that are drawn are below this: short enough to be typed again."""


@dataclass(frozen=True)
class Mark:
    """A moment of a conversation to which one can go back."""

    turns: tuple[str, ...]
    last: Reply | None
    chosen: int
    attempt: int


class Chat:
    """A conversation of a person, who speaks first, with a Responder.

    Args:
        responder: replies.
        persona: sentences about the one who replies.
        preset: the name of one of the responder's sets of options, or None.
        options: on top of the responder's own and of the preset.
        seed: of every first reply to a turn; a further attempt takes the next one. None draws a seed for each reply.
        source: draws the seeds; a generator that the system has seeded when left out.

    Raises:
        TypeError, ValueError: for a persona, a preset or options that cannot be followed.
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
    ) -> None:
        self.responder = responder
        self.turns: tuple[str, ...] = ()
        self.persona = check_turns(persona, what="persona sentence")
        self.meta: Mapping[str, Any] | None = None
        self.seed = seed
        self.session = Session()
        self.preset: str | None = None
        self.own: dict[str, Any] = {}
        self.last: Reply | None = None
        self.chosen = 0
        self._attempt = 0
        self._telling = False
        self._source = source or random.Random()
        if preset is not None:
            self.use_preset(preset)
        self.set_options(options or {})

    # Turns

    @property
    def waiting(self) -> bool:
        """Whether the last turn waits for a reply."""
        return len(self.turns) % 2 == 1

    def mark(self) -> Mark:
        """The moment that `back_to` goes back to."""
        return Mark(self.turns, self.last, self.chosen, self._attempt)

    def back_to(self, mark: Mark) -> None:
        """Undoes what was said and replied since."""
        self.turns, self.last, self.chosen, self._attempt = mark.turns, mark.last, mark.chosen, mark.attempt

    def say(self, text: str) -> None:
        """Adds the person's turn; to a turn that still waits for a reply it is joined, with a newline.

        Raises:
            ValueError: for a text that is no turn.
        """
        [text] = check_turns([text])
        self.turns = (*self.turns[:-1], f"{self.turns[-1]}\n{text}") if self.waiting else (*self.turns, text)
        self.last, self.chosen, self._attempt, self._telling = None, 0, 0, False

    def start(self) -> ReplyHandle[Reply]:
        """Has the waiting turn replied to.

        Raises:
            ValueError: when no turn waits, or the responder cannot follow.
            QueueFull: when the responder has too much to do.
        """
        if not self.waiting:
            raise ValueError("nothing waits for a reply; say something first")
        seed = self._source.randrange(_SEEDS) if self.seed is None else self.seed + self._attempt
        return self.responder.start(
            self.turns, persona=self.persona, options=self.settings, seed=seed, session=self.session
        )

    def take(self, reply: Reply) -> bool:
        """Makes a reply the next turn; False, and nothing happens, when there is no text in it."""
        if not reply.text.strip():
            return False
        self.turns = (*self.turns, reply.text)
        self.last, self.chosen = reply, 0
        return True

    def choose(self, number: int) -> str:
        """Makes another candidate of the last reply the last turn, and returns its text.

        Args:
            number: counted from 1.
        """
        candidates = self.reply().candidates
        if not 1 <= number <= len(candidates):
            raise ValueError(f"there is no candidate {number}; there are 1 to {len(candidates)}")
        text = candidates[number - 1].text
        if not text.strip():
            raise ValueError(f"candidate {number} has no text; choose another")
        self.turns, self.chosen = (*self.turns[:-1], text), number - 1
        return text

    def reply(self) -> Reply:
        """The last reply with its candidates, the one first that was said.

        Raises:
            ValueError: when the last turn is no reply that was made here.
        """
        if self.last is None or self.waiting:
            raise ValueError("there is no reply to look into; say something first")
        return self.last

    def undo(self) -> tuple[str, ...]:
        """Takes back the last exchange, or the turn that still waits for its reply, and returns it."""
        if not self.turns:
            raise ValueError("there is nothing to take back")
        count = 1 if self.waiting else 2
        taken, self.turns = self.turns[-count:], self.turns[:-count]
        self.last, self.chosen, self._attempt = None, 0, 0
        return taken

    def retry(self) -> None:
        """Takes back the last reply, so that `start` makes another one, with another seed."""
        if not self.turns:
            raise ValueError("there is nothing to reply to; say something first")
        if not self.waiting:
            self.turns = self.turns[:-1]
        self.last, self.chosen = None, 0
        self._attempt += 1

    def reset(self) -> None:
        """Forgets the turns; persona, options and seed stay."""
        self._replace((), None)

    # What is kept

    def conversation(self) -> Conversation:
        """The turns so far, as a conversation that a file can hold.

        Raises:
            ValueError: when there are fewer than two.
        """
        if len(self.turns) < 2:
            raise ValueError("a conversation needs two turns; talk first")
        return Conversation(self.turns, self.persona, self.meta)

    def load(self, conversation: Conversation) -> None:
        """Goes on with a conversation: its turns, its persona."""
        self.persona = conversation.persona
        self._replace(conversation.turns, conversation.meta)

    def _replace(self, turns: tuple[str, ...], meta: Mapping[str, Any] | None) -> None:
        self.turns, self.meta = turns, meta
        self.last, self.chosen, self._attempt, self._telling = None, 0, 0, False
        self.session = Session()

    # Settings

    @property
    def settings(self) -> dict[str, Any]:
        """What a request says: the preset's options and one's own."""
        return {**preset_options(self.responder.presets, self.preset), **self.own}

    @property
    def options(self) -> dict[str, Any]:
        """All that is in effect, by name."""
        return dict(sorted({**self.responder.options, **self.settings}.items()))

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Sets options, all of them or, when one cannot be followed, none.

        Raises:
            ValueError: says which, and what is allowed.
        """
        own = {**self.own, **options}
        self.responder.check_options({**preset_options(self.responder.presets, self.preset), **own})
        self.own = own

    def unset(self, name: str) -> None:
        """Takes back one's own value of an option."""
        if name not in self.own:
            raise ValueError(f"{name} was not set")
        self.own = {key: value for key, value in self.own.items() if key != name}

    def use_preset(self, name: str | None) -> None:
        """Starts over from a preset, or from none: options set before are gone.

        Raises:
            ValueError: when there is no such preset.
        """
        self.responder.check_options(preset_options(self.responder.presets, name))
        self.preset, self.own = name, {}

    def set_seed(self, seed: int | None) -> None:
        """Fixes the seed of the replies to come; None draws one for each."""
        self.seed, self._attempt = seed, 0

    def set_persona(self, persona: Iterable[str]) -> None:
        """Replaces the sentences about the one who replies."""
        self.persona = check_turns(persona, what="persona sentence")

    def tell_persona(self, sentences: Iterable[str]) -> None:
        """Before a conversation: the first sentences replace the persona that there was, later ones add to it."""
        self.set_persona((*(self.persona if self._telling else ()), *sentences))
        self._telling = True
