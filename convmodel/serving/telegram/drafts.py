"""Pieces of a reply in, what a person sees meanwhile out: a live draft where Telegram has it, or that one is typing."""

import asyncio
import contextlib
from types import TracebackType

from convmodel.serving.telegram.message_split import split
from convmodel.serving.telegram.sending import Sender
from convmodel.serving.telegram.task_queue import Task

EVERY = 1.0
"""Seconds between two drafts."""

LAST = 2.0
"""Seconds in which the last draft may end."""

TYPING = 4.0
"""Seconds after which it is shown again that one is typing; Telegram shows it for five."""


class DraftUpdater:
    """Shows that a reply is being made, for as long as it is entered.

    Args:
        sender: shows it; what fails is left out.
        task: that is replied to.
    """

    def __init__(self, sender: Sender, task: Task) -> None:
        self._sender, self._task = sender, task
        # Drafts are for chats with one person, and their number is not zero; 31 bits are what every client takes.
        self._drafts = not task.group
        self._number = task.update % (2**31 - 1) + 1
        self._pieces: list[str] = []
        self._over = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def piece(self, text: str) -> None:
        """Adds a piece."""
        self._pieces.append(text)

    def again(self) -> None:
        """Begins anew: what was written does not count."""
        self._pieces.clear()

    async def __aenter__(self) -> "DraftUpdater":
        self._loop = asyncio.create_task(self._show())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._over.set()
        # A draft that is on its way is waited for, or it would come after the reply; but not for long.
        await asyncio.wait({self._loop}, timeout=LAST)
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def _show(self) -> None:
        loop = asyncio.get_running_loop()
        shown, typed = 0, -TYPING
        while not self._over.is_set():
            if self._drafts and len(self._pieces) > shown:
                shown = len(self._pieces)
                [*_, end] = split("".join(self._pieces)) or [""]
                if end:
                    self._drafts = await self._sender.draft(self._task.chat, self._number, end)
            elif loop.time() - typed >= TYPING and not (shown and self._drafts):
                typed = loop.time()
                await self._sender.typing(self._task.chat, thread=self._task.thread)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVERY)
