"""Reading of chats as text, in which the first line of each message has a form that other lines do not have."""

from collections.abc import Callable, Iterator

from convmodel.data.chat import ChatMessage
from convmodel.data.data_file import DataFile
from convmodel.data.formats.base import Problem

Begin = Callable[[int, str, str], ChatMessage | None]
"""A function from the number and the text of a line, and the text of the line before, to a message.

It returns None if no message begins at the line, and raises ValueError for a message that cannot be used.
"""


def read_lines(
    file: DataFile, begin: Begin, finish: Callable[[ChatMessage], ChatMessage]
) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of a text. Lines that begin no message belong to the message or the problem before them.

    Args:
        file: the file.
        begin: see `Begin`.
        finish: a function that is called with each complete message, and returns the message to yield.
    """
    open_message: _OpenMessage | None = None
    is_broken = False
    last = ""
    for line in file.lines():
        found = _begin(begin, line.number, line.text, last) if line.problem is None else line.problem
        last = line.text
        if found is None and open_message is not None:
            open_message.add(line.text)
            continue
        if found is None and is_broken:
            continue
        if open_message is not None:
            yield finish(open_message.close())
            open_message = None
        is_broken = isinstance(found, str)
        if isinstance(found, ChatMessage):
            open_message = _OpenMessage(found, file.options.line_limit)
        elif found is not None or line.text.strip():
            fault = "the line begins with neither date nor message; remove it"
            yield Problem(line.number, fault if found is None else found)
    if open_message is not None:
        yield finish(open_message.close())


def _begin(begin: Begin, number: int, text: str, last: str) -> ChatMessage | str | None:
    try:
        return begin(number, text, last)
    except ValueError as error:
        return str(error)


class _OpenMessage:
    """Collector of the lines of a message.

    Args:
        message: the message with its first line.
        limit: the length limit of its text in characters; lines beyond it are left out.
    """

    def __init__(self, message: ChatMessage, limit: int) -> None:
        self._message = message
        self._lines = [message.text]
        self._room = limit - len(message.text)

    def add(self, text: str) -> None:
        self._room -= len(text) + 1
        if self._room >= 0:
            self._lines.append(text)

    def close(self) -> ChatMessage:
        return self._message._replace(text="\n".join(self._lines))
