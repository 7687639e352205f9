"""The description of a format of chat exports."""

from collections.abc import Callable, Iterator, Sequence

from convmodel.data.chat import ChatMessage, conversations_from_chat
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record


class ChatFormat(FileFormat[Record]):
    """A format of chat exports. All files of a source that have it are read as one export.

    Args:
        name: the value of the `format` option.
        human_name: the name in messages.
        score: see `FileFormat`.
        messages: a function from a file to its messages, those of one chat in the order of their time. After yielding a
            Problem it continues.
        suffixes: the file name suffixes that select this format when the content matches no format.
    """

    messages: Callable[[DataFile], Iterator[ChatMessage | Problem]]

    def __init__(
        self,
        name: str,
        human_name: str,
        score: Callable[[Head], Certainty],
        messages: Callable[[DataFile], Iterator[ChatMessage | Problem]],
        suffixes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, human_name, "message", suffixes, score, lambda file: self.read_files([file]))
        object.__setattr__(self, "messages", messages)

    def read_files(self, files: Sequence[DataFile]) -> Iterator[Record | Problem]:
        """Yield the conversations and problems of the files of one export."""
        first = files[0]
        source = first.name if len(files) == 1 else f"{first.name} and {len(files) - 1:,} more"
        return conversations_from_chat(self._messages(files), first.options, first.notes, source=source)

    def _messages(self, files: Sequence[DataFile]) -> Iterator[ChatMessage | Problem]:
        for file in files:
            for message in self.messages(file):
                yield message._replace(file=file.name)
