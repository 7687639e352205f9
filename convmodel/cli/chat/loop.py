"""Lines of a person in, replies on a screen out: the loop of a chat, whatever the screen."""

import os
import re
import traceback
from typing import Protocol

from convmodel.cli.chat.outcome import Outcome
from convmodel.cli.chat.slash import is_command, run_command, spoken
from convmodel.cli.chat.state import Chat, Mark
from convmodel.cli.chat.stream import follow
from convmodel.responders.protocol import QueueFull, Reply


class Screen(Protocol):
    """Where a person types and reads. Every text that it is given may hold anything; it shows it as text."""

    @property
    def interactive(self) -> bool:
        """Whether somebody sits there: errors are shown, and do not end the program; Ctrl-C stops a reply."""

    def greet(self, text: str) -> None:
        """The first line, if any is wanted."""

    def read(self) -> str | None:
        """The next line or lines that were sent; None at the end."""

    def begin(self) -> None:
        """A reply is coming."""

    def wait(self) -> None:
        """It is long in coming."""

    def piece(self, text: str) -> None:
        """A piece of it."""

    def end(self, reply: Reply | None) -> None:
        """It has ended; None when it failed."""

    def show(self, outcome: Outcome) -> None:
        """What came of a command."""

    def error(self, message: str) -> None:
        """What cannot be done."""

    def where(self) -> str:
        """Where the last line came from, for an error that ends the program."""


class ChatError(ValueError):
    """A line that was not typed by a person cannot be followed; the message says which, and why."""


def talk(chat: Chat, screen: Screen) -> None:
    """Talks until the person leaves or the lines end.

    Raises:
        ChatError: for the first line that cannot be followed, where nobody sits at the screen.
    """
    while (line := screen.read()) is not None:
        if not line.strip():
            continue
        try:
            outcome = _take(chat, screen, line)
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            told = isinstance(error, ValueError | OSError | QueueFull)
            if not screen.interactive and told:
                raise ChatError(f"{screen.where()}: {error}") from error
            if not screen.interactive:
                raise
            _tell(screen, str(error) if told else f"{type(error).__name__}: {error}", error)
        else:
            if outcome.leave:
                return


def _take(chat: Chat, screen: Screen, line: str) -> Outcome:
    """Follows a line: a command, something that is said, or before that who replies."""
    mark = chat.mark()
    if is_command(line):
        outcome = run_command(chat, line)
        if outcome.reply:
            _reply(chat, screen, mark)
        elif not outcome.leave:
            screen.show(outcome)
        return outcome
    if not chat.turns:
        sentences, line = persona_lines(line)
        if sentences:
            chat.tell_persona(sentences)
            screen.show(Outcome("\n".join(f"persona: {sentence}" for sentence in sentences)))
        if not line.strip():
            return Outcome()
    chat.say(spoken(line))
    _reply(chat, screen, mark)
    return Outcome()


def _reply(chat: Chat, screen: Screen, before: Mark) -> None:
    """Has the waiting turn replied to and shows it.

    What cannot be followed is taken back, for it would stand in the way of everything that comes after it. When a
    reply failed or was stopped before its first word, the person's turn stays and waits, and an older reply comes back.
    """
    again = before.turns[: len(chat.turns)] == chat.turns
    try:
        replying = chat.start()
    except ValueError:
        chat.back_to(before)
        raise
    except QueueFull as error:
        _restore(chat, before, again=again)
        raise QueueFull(f"{error}; /retry tries again") from error
    screen.begin()
    try:
        reply = follow(replying, screen.piece, wait=screen.wait, interruptible=screen.interactive)
    except Exception as error:
        if isinstance(error, BrokenPipeError) or not screen.interactive:
            raise
        screen.end(None)
        _restore(chat, before, again=again)
        _tell(screen, f"the reply failed ({type(error).__name__}: {error}); /retry tries again", error)
        return
    screen.end(reply)
    if not chat.take(reply):
        _restore(chat, before, again=again)
        why = "stopped before the first word" if reply.finish == "cancelled" else "the reply has no text"
        screen.error(f"{why}; /retry tries again")
    elif again and reply.seed is None:
        screen.show(Outcome("nothing was drawn (do_sample is false): with every seed the reply is the same"))
    elif again:
        screen.show(Outcome(f"made with seed {reply.seed}"))


def _tell(screen: Screen, message: str, error: Exception) -> None:
    """Shows what went wrong; whatever it was, a conversation is too dear to end with it."""
    if os.environ.get("CONVMODEL_TRACEBACK"):
        traceback.print_exception(error)
    screen.error(message)


def _restore(chat: Chat, before: Mark, *, again: bool) -> None:
    """Brings the reply back that was to be made anew."""
    if again:
        chat.back_to(before)


_LINE = re.compile(r"\s*your persona:(.*)", re.IGNORECASE)
"""As ParlAI's PersonaChat lays out a context: "your" is the model's."""


def persona_lines(text: str) -> tuple[list[str], str]:
    """Splits off leading lines such as `your persona: I like rain.`

    Raises:
        ValueError: for one without a sentence.
    """
    lines = text.split("\n")
    sentences: list[str] = []
    for number, line in enumerate(lines):
        found = _LINE.fullmatch(line.rstrip("\r"))
        if not found:
            return sentences, "\n".join(lines[number:])
        if not found[1].strip():
            raise ValueError("there is no sentence after 'your persona:'; write your persona: I like rain.")
        sentences.append(found[1].strip())
    return sentences, ""
