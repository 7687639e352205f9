"""Sorting the messages of exports by chat and time, in bounded memory."""

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO, NamedTuple

from convmodel.data.chat import ChatMessage
from convmodel.data.formats.base import Problem

_HELD = 32 * 2**20
"""The number of characters that are held in memory by default."""

_OVERHEAD = 200
"""The number of characters that a message counts in addition to those of its text."""


class _Entry(NamedTuple):
    """A message with its sort key: the chat, the time and the position."""

    chat: str
    time: float
    position: int
    message: ChatMessage


def sort_messages(
    messages: Iterable[ChatMessage | Problem], *, newest_first: bool = False, held: int = _HELD
) -> Iterator[ChatMessage | Problem]:
    """Yield all problems, and then the messages, sorted by the names of their chats and by time.

    If several files have the same message at the same time, all but the first one are marked as repeated. A message
    without a time stays after the message before it. Messages of the same time keep their order.

    Args:
        messages: the messages.
        newest_first: whether messages of the same time are given in reverse order.
        held: the number of characters to hold in memory; the rest is kept in temporary files.
    """
    with ExitStack() as stack:
        runs: list[Iterator[_Entry]] = []
        entries: list[_Entry] = []
        size = 0
        for entry in _number(messages, -1 if newest_first else 1):
            if isinstance(entry, Problem):
                yield entry
                continue
            entries.append(entry)
            size += len(entry.message.text) + _OVERHEAD
            if size > held:
                file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))
                runs.append(_read(_write(sorted(entries), file)))
                entries = []
                size = 0
        yield from _mark_repeated(entry.message for entry in heapq.merge(*runs, sorted(entries)))


def _mark_repeated(messages: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
    """Yield messages. A message that an earlier file has at the same time is marked as repeated."""
    moment: tuple[str, float | None] | None = None
    seen: dict[tuple[str, str], str | None] = {}
    for message in messages:
        if (message.chat, message.time) != moment:
            moment = (message.chat, message.time)
            seen = {}
        first = seen.setdefault((message.sender, message.text), message.file)
        is_repeated = message.time is not None and bool(message.text) and first != message.file
        yield message._replace(kind="repeated") if is_repeated else message


def _number(messages: Iterable[ChatMessage | Problem], step: int) -> Iterator[_Entry | Problem]:
    time = 0.0
    position = 0
    for message in messages:
        if isinstance(message, Problem):
            yield message
            continue
        time = time if message.time is None else message.time
        position += step
        yield _Entry(message.chat, time, position, message)


def _write(entries: Iterable[_Entry], file: IO[str]) -> IO[str]:
    for entry in entries:
        file.write(json.dumps([entry.time, entry.position, entry.message]) + "\n")
    file.seek(0)
    return file


def _read(file: IO[str]) -> Iterator[_Entry]:
    for line in file:
        time, position, values = json.loads(line)
        message = ChatMessage(*values)
        yield _Entry(message.chat, time, position, message)
