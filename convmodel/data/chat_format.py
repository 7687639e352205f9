"""The description of a format of chat exports."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from convmodel.data.chat import ChatMessage, conversations_from_chat
from convmodel.data.chat_order import sort_messages
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, GroupFormat, Item, Problem, Record

Messages = Iterator[ChatMessage | Problem]
ReadMessages = Callable[[DataFile], Messages]


def chain_files(files: Sequence[DataFile], read: ReadMessages) -> Messages:
    """Yield the messages and problems of files one after the other, each with the name of its file."""
    for file in files:
        for message in read(file):
            yield message._replace(file=file.name)


def make_messages(items: Iterable[Item], make: Callable[[Item], ChatMessage | None]) -> Messages:
    """Yield a message or a problem per item.

    Args:
        items: the JSON values or rows.
        make: a function from an item to its message, or None for one that holds no message. It raises ValueError for an
            item that cannot be used.
    """
    for item in items:
        try:
            if item.problem is not None:
                raise ValueError(item.problem)
            message = make(item)
        except ValueError as error:
            yield Problem(item.number, str(error))
        else:
            if message is not None:
                yield message


def sort_files(files: Sequence[DataFile], read: ReadMessages) -> Messages:
    """Yield the messages of all files, sorted by chat and time."""
    return sort_messages(chain_files(files, read))


class ChatFormat(GroupFormat[Record]):
    """A format of chat exports. All files of a source that have this format are read as one export.

    Args:
        name: the value of the `format` option.
        human_name: the name in messages.
        score: see `FileFormat`.
        messages: a function from a file to its messages. After yielding a Problem it continues.
        suffixes: the file name suffixes that select this format when the content matches no format.
        combine: a function from the files of an export and `messages` to all messages. It makes the messages of a chat
            consecutive, and sorts them by time.
        me: the person in whose role the model replies if the user names nobody.
    """

    messages: ReadMessages
    combine: Callable[[Sequence[DataFile], ReadMessages], Messages]
    me: str | None

    def __init__(
        self,
        name: str,
        human_name: str,
        score: Callable[[Head], Certainty],
        messages: ReadMessages,
        suffixes: tuple[str, ...] = (),
        combine: Callable[[Sequence[DataFile], ReadMessages], Messages] = chain_files,
        me: str | None = None,
    ) -> None:
        super().__init__(name, human_name, "message", suffixes, score, lambda file: self.read_files([file]))
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "combine", combine)
        object.__setattr__(self, "me", me)

    def read_files(self, files: Sequence[DataFile]) -> Iterator[Record | Problem]:
        """Yield the conversations and problems of the files of one export."""
        first = files[0]
        source = first.name if len(files) == 1 else f"{first.name} and {len(files) - 1:,} more"
        messages = self.combine(files, self.messages)
        options = first.options if first.options.me is not None else first.options.combine({"me": self.me})
        return conversations_from_chat(messages, options, first.notes, source=source)
