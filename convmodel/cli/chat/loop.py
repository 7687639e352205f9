"""Main loop of the chat, independent of the kind of screen."""

import os
import re
import traceback

from convmodel.cli.chat.screen import Outcome, Screen
from convmodel.cli.chat.slash import run_command
from convmodel.cli.chat.state import Chat, Mark
from convmodel.cli.chat.stream import stream_reply
from convmodel.responders.protocol import QueueFull
from convmodel.responders.typed_input import is_command, unescape


class ChatError(ValueError):
    """An invalid line of a non-interactive input; the message has its position and the reason."""


def talk(chat: Chat, screen: Screen) -> None:
    """Run the chat until the user leaves, the input ends, or ChatError is raised for a line of a pipe."""
    while (line := screen.read()) is not None:
        if not line.strip():
            continue
        try:
            outcome = _handle_line(chat, screen, line)
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            is_expected = isinstance(error, ValueError | OSError | QueueFull)
            if not screen.interactive and is_expected:
                raise ChatError(f"{screen.where()}: {error}") from error
            if not screen.interactive:
                raise
            _show_error(screen, str(error) if is_expected else f"{type(error).__name__}: {error}", error)
        else:
            if outcome.leave:
                return


def _handle_line(chat: Chat, screen: Screen, line: str) -> Outcome:
    """Run a command or reply to a turn; before the first turn, also read persona lines."""
    mark = chat.mark()
    if is_command(line):
        outcome = run_command(chat, line)
        if outcome.reply:
            _reply_and_show(chat, screen, mark)
        elif not outcome.leave:
            screen.show(outcome)
        return outcome
    if not chat.turns:
        sentences, line = split_persona_lines(line)
        if sentences:
            chat.add_persona(sentences)
            screen.show(Outcome("\n".join(f"persona: {sentence}" for sentence in sentences)))
        if not line.strip():
            return Outcome()
    chat.say(unescape(line))
    _reply_and_show(chat, screen, mark)
    return Outcome()


def _reply_and_show(chat: Chat, screen: Screen, before: Mark) -> None:
    """Reply to the waiting turn and show the reply.

    A turn that the responder rejects is removed, since it would block all later turns. After a failed reply, or one
    that was stopped before its first word, the turn stays and waits; a failed retry restores the previous reply.
    """
    is_retry = before.turns[: len(chat.turns)] == chat.turns
    after_failure = before if is_retry else chat.mark()
    try:
        handle = chat.start()
    except ValueError:
        chat.restore(before)
        raise
    except QueueFull as error:
        chat.restore(after_failure)
        raise QueueFull(f"{error}; /retry tries again") from error
    screen.begin()
    try:
        reply = stream_reply(handle, screen.piece, wait=screen.wait, interruptible=screen.interactive)
    except Exception as error:
        if isinstance(error, BrokenPipeError) or not screen.interactive:
            raise
        screen.end(None)
        chat.restore(after_failure)
        _show_error(screen, f"the reply failed ({type(error).__name__}: {error}); /retry tries again", error)
        return
    screen.end(reply)
    if not chat.add_reply(reply):
        chat.restore(after_failure)
        reason = "stopped before the first word" if reply.finish == "cancelled" else "the reply has no text"
        screen.error(f"{reason}; /retry tries again")
    elif is_retry and reply.seed is None:
        screen.show(Outcome("nothing was drawn (do_sample is false): with every seed the reply is the same"))
    elif is_retry:
        screen.show(Outcome(f"made with seed {reply.seed}"))


def _show_error(screen: Screen, message: str, error: Exception) -> None:
    """Show an error without ending the program, so that no error loses the conversation."""
    if os.environ.get("CONVMODEL_TRACEBACK"):
        traceback.print_exception(error)
    screen.error(message)


_PERSONA_LINE = re.compile(r"\s*your persona:(.*)", re.IGNORECASE)
"""Persona line of ParlAI's PersonaChat format; "your" refers to the model."""


def split_persona_lines(text: str) -> tuple[list[str], str]:
    """Split off leading lines such as `your persona: I like rain.`; raise ValueError if a sentence is missing."""
    lines = text.split("\n")
    sentences: list[str] = []
    for index, line in enumerate(lines):
        match = _PERSONA_LINE.fullmatch(line.rstrip("\r"))
        if not match:
            return sentences, "\n".join(lines[index:])
        if not match[1].strip():
            raise ValueError("there is no sentence after 'your persona:'; write your persona: I like rain.")
        sentences.append(match[1].strip())
    return sentences, ""
