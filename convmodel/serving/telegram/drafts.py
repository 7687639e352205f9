"""Show the progress of a reply: a live draft in private chats, the typing indicator elsewhere."""

import asyncio
import contextlib

from convmodel.serving.telegram.messages import split
from convmodel.serving.telegram.sending import Sender
from convmodel.serving.telegram.task_queue import Task

EVERY = 1.0
"""Seconds between updates of a draft."""

LAST = 2.0
"""Maximum number of seconds to wait for the last draft."""

TYPING = 4.0
"""Seconds between typing indicators; Telegram shows each for five seconds."""


class DraftUpdater:
    """Async context manager that shows the progress of a task's reply; failures to show it are ignored."""

    def __init__(self, sender: Sender, task: Task) -> None:
        self._sender = sender
        self._task = task
        # Drafts exist in private chats only. A draft id must not be zero, and every client supports 31 bits.
        self._drafts = not task.group
        self._draft_id = task.update % (2**31 - 1) + 1
        self.pieces: list[str] = []
        """Text of the reply so far; cleared when the reply is requested again."""
        self._over = asyncio.Event()

    async def __aenter__(self) -> "DraftUpdater":
        self._loop = asyncio.create_task(self._show())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        # Wait for a draft in transit, which would otherwise appear after the reply; but not for long.
        await asyncio.wait({self._loop}, timeout=LAST)
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def _show(self) -> None:
        loop = asyncio.get_running_loop()
        shown = 0
        typed = -TYPING
        while not self._over.is_set():
            if self._drafts and len(self.pieces) > shown:
                shown = len(self.pieces)
                if parts := split("".join(self.pieces)):
                    self._drafts = await self._sender.draft(self._task.chat, self._draft_id, parts[-1])
            elif loop.time() - typed >= TYPING and not (shown and self._drafts):
                typed = loop.time()
                await self._sender.typing(self._task.chat, thread=self._task.thread)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVERY)
