"""Screen for a terminal with colours and line editing, using prompt_toolkit and rich."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.shortcuts import CompleteStyle
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.table import Table as RichTable
from rich.text import Text

from convmodel.cli.chat.completion import common_prefix, completions
from convmodel.cli.chat.describe import status_line
from convmodel.cli.chat.screen import Outcome, Screen, TextTable, to_one_line, to_printable
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.wrapping import Wrapper
from convmodel.data.user_folders import chat_history
from convmodel.responders.protocol import Reply

PROMPT = "> "
REPLY = "bold"
NOTE = "dim"
ERROR = "red"

_ERASE_LINE = Control((ControlType.CURSOR_MOVE_TO_COLUMN, 0), (ControlType.ERASE_IN_LINE, 2))


class TerminalScreen(Screen):
    """A full-featured terminal.

    Args:
        chat: for Tab completion.
        history: earlier input, and its storage.
        quiet: whether to omit the status.
        console: output; by default a new console on stdout.
        input, output: keys and output of the prompt; by default those of the terminal.
    """

    def __init__(
        self,
        chat: Chat,
        *,
        history: History | None = None,
        quiet: bool = False,
        console: Console | None = None,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._reply: Reply | None = None
        self._wrapper = Wrapper(80)
        self._quiet = quiet
        self._shows_waiting = False
        self._unmuted = contextlib.ExitStack()
        self._session: PromptSession[str] = PromptSession(
            history=history or InMemoryHistory(),
            multiline=True,
            key_bindings=_keys(chat),
            completer=_Completer(chat),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,  # a menu would need free lines below the prompt
            prompt_continuation="  ",
            bottom_toolbar=self._toolbar,
            color_depth=ColorDepth.DEPTH_1_BIT if self._console.no_color else None,
            input=input,
            output=output,
        )

    def greet(self, text: str) -> None:
        self._note(to_printable(text))
        self._console.print()

    def read(self) -> str | None:
        while True:
            try:
                return self._session.prompt(PROMPT)
            except EOFError:
                return None
            except KeyboardInterrupt:
                if not self._session.default_buffer.text:
                    self._note("(Ctrl-D or /quit leaves)")

    def begin(self) -> None:
        self._wrapper = Wrapper(self._console.width - 1)
        self._unmuted.enter_context(_muted_keys())

    def wait(self) -> None:
        self._shows_waiting = True
        self._console.print(Text("...", style=NOTE), end="")

    def piece(self, text: str) -> None:
        self._write(self._wrapper.add(text))

    def end(self, reply: Reply | None) -> None:
        self._write(self._wrapper.end())
        self._unmuted.close()
        if self._shows_waiting:
            self._erase_waiting()
        else:
            self._console.print()
        if reply is not None:
            self._reply = reply
            if reply.finish == "cancelled" and reply.text.strip():
                self._note("[stopped]")
        self._console.print()

    def show(self, outcome: Outcome) -> None:
        for n, (speaker, text) in enumerate(outcome.shown):
            if n and speaker == "you":
                self._console.print()
            self._console.print(
                Text(f"{PROMPT}{to_printable(text)}") if speaker == "you" else Text(to_printable(text), REPLY)
            )
        if outcome.table:
            self._table(outcome.table)
        if outcome.text:
            self._note(to_printable(outcome.text))
        self._console.print()

    def _table(self, table: TextTable) -> None:
        if self._console.width >= table.min_columns:
            self._console.print(_rich_table(table))
            return
        for n, (start, text, details) in enumerate(table.stacked(self._console.width)):
            self._console.print(Text(start + to_one_line(text), style=REPLY if n == table.marked else ""))
            self._note(to_printable(details))

    def error(self, message: str) -> None:
        self._console.print(Text(to_printable(message), style=ERROR))
        self._console.print()

    def _note(self, text: str) -> None:
        self._console.print(Text(text, style=NOTE))

    def _write(self, text: str) -> None:
        if text:
            self._erase_waiting()
            self._console.print(Text(text, style=REPLY), end="", soft_wrap=True)

    def _erase_waiting(self) -> None:
        if self._shows_waiting:
            self._shows_waiting = False
            self._console.control(_ERASE_LINE)

    def _toolbar(self) -> FormattedText | None:
        """Return the completions while they are offered, otherwise the status."""
        completing = self._session.default_buffer.complete_state
        if completing is not None and len(completing.completions) > 1:
            current = completing.complete_index or 0
            words = [completion.display_text for completion in completing.completions]
            return FormattedText([("", "  ".join(words[current:] + words[:current])[: self._console.width])])
        if self._reply is None or self._quiet:
            return None
        return FormattedText([("", status_line(self._reply, self._console.width - 2))])


def open_history() -> tuple[History, str]:
    """Open the history file of the input, readable only by its owner; return the history and a reason if that failed.

    The file is `chat_history()`.
    """
    path = chat_history()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError as error:
        return InMemoryHistory(), f"what you type is not remembered: {error.strerror}: {path}"
    return _FileHistory(str(path)), ""


class _FileHistory(FileHistory):
    """A file history that ignores write errors, such as a full disk, and texts that cannot be encoded."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string.encode(errors="replace").decode())


class _Completer(Completer):
    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        length, words = completions(self._chat, document.text_before_cursor)
        return [Completion(word, start_position=-length) for word in words]


def _keys(chat: Chat) -> KeyBindings:
    """Bind Enter to send, Alt-Enter and a backslash before Enter to a new line, and Tab to completion."""
    keys = KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state:
            buffer.complete_next()
            return
        length, words = completions(chat, buffer.document.text_before_cursor)
        buffer.insert_text(common_prefix(words)[length:])
        if len(words) > 1:
            buffer.start_completion()

    @keys.add(Keys.Vt100MouseEvent)
    def _(event: KeyPressEvent) -> None:
        """Ignore mouse events: prompt_toolkit's parser fails on text that contains the start of their sequence."""

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _rich_table(table: TextTable) -> RichTable:
    rich_table = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style=NOTE, show_edge=False)
    for name in table.head:
        rich_table.add_column(Text(name), overflow="fold")
    for n, row in enumerate(table.rows):
        rich_table.add_row(*(Text(to_one_line(cell)) for cell in row), style=REPLY if n == table.marked else None)
    return rich_table


@contextlib.contextmanager
def _muted_keys() -> Iterator[None]:
    """Turn off the echo of typed keys inside a block. Keys typed meanwhile are read with the next line."""
    try:
        import termios

        keyboard = sys.stdin.fileno()
        attributes: list[Any] = termios.tcgetattr(keyboard)
    except (ImportError, OSError, ValueError, termios.error):
        yield
        return
    muted = [*attributes[:3], attributes[3] & ~termios.ECHO, *attributes[4:]]
    termios.tcsetattr(keyboard, termios.TCSADRAIN, muted)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, attributes)
