"""Chats that have something to do in, answers sent out: in order within a chat, the chats at the same time."""

import asyncio
import contextlib
import logging
import traceback
from collections import Counter
from dataclasses import dataclass, replace

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram.commands import CommandContext, answer_command
from convmodel.serving.telegram.errors import ChatUnavailable, MessageRejected, Refused, ServerUnavailable, TokenRefused
from convmodel.serving.telegram.rate_limit import backoff
from convmodel.serving.telegram.sending import Sender
from convmodel.serving.telegram.task_queue import State, Task

LOG = logging.getLogger(__name__)

DEFECTS = 3
"""How often a task may fail by a defect before it is given up."""


@dataclass(frozen=True)
class WorkerContext:
    """What tasks are done with.

    Args:
        characters: of a turn at most.
    """

    state: State
    sender: Sender
    desk: CommandContext
    characters: int


class Chats:
    """The chats that have something to do.

    Args:
        working: what tasks are done with.
    """

    def __init__(self, working: WorkerContext) -> None:
        self._working = working
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._more: set[int] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._closing = False
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises TokenRefused when the token is no longer good."""

    def wake(self, chat: int) -> None:
        """Has a chat look for what there is to do."""
        self._more.add(chat)
        if chat not in self._tasks and not self._closing:
            self._tasks[chat] = asyncio.create_task(self._work(chat))

    def stop(self, chat: int) -> None:
        """Ends the reply that is being made in a chat; what is written of it is the reply."""
        stopping = asyncio.create_task(self._stop(chat))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def close(self, *, grace: float) -> None:
        """Ends when what has been begun is done, or after `grace` seconds; the rest is done after the next start."""
        self._closing = True
        running = {*self._tasks.values(), *self._stopping}
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.refused.cancel()

    async def _work(self, chat: int) -> None:
        """Does what there is to do in a chat. Never ends by an error but a refused token, which concerns all."""
        waits, defects = backoff(), Counter[int]()
        try:
            while chat in self._more and not self._closing:
                self._more.discard(chat)
                try:
                    while not self._closing and await self._next(chat, defects):
                        waits.reset()
                except TokenRefused as error:
                    if not self.refused.done():
                        self.refused.set_exception(error)
                    return
                except Exception as error:
                    LOG.error("chat: %s; trying again", _told(error))
                    self._more.add(chat)
                    await waits.asleep()
        finally:
            # No await stands between the last look at `_more` and this: nobody is woken in vain.
            del self._tasks[chat]

    async def _next(self, chat: int, defects: Counter[int]) -> bool:
        """Does the next task of a chat; whether there was one."""
        state = self._working.state
        task = await state.next_task(chat, characters=self._working.characters)
        if task is None:
            return False
        try:
            await self._do(task)
        except (TokenRefused, OSError):  # the store is not there now; nothing is wrong with the task
            raise
        except Exception as error:
            defects[task.update] += 1
            if defects[task.update] < DEFECTS:
                raise
            LOG.error("update %s is given up: %s", task.update, _told(error))
            await self._deliver(
                replace(task, parts=(texts.NOT_DONE if task.kind == "command" else texts.FAILED,), sent=0)
            )
        return True

    async def _do(self, task: Task) -> None:
        if (await self._working.state.settings(task.chat)).left:
            await self._working.state.done(task)
            return
        if task.parts is None:
            task = replace(task, parts=tuple(await self._answer(task)), sent=0)
        await self._deliver(task)

    async def _answer(self, task: Task) -> list[str]:
        """The messages that answer; they are kept before they are sent."""
        if task.kind == "command":
            return await answer_command(self._working.desk, task)
        parts = await self._working.desk.replies.reply(task) if task.kind == "say" else [texts.UNREADABLE]
        await self._working.state.answer(task, parts)
        return parts

    async def _deliver(self, task: Task) -> None:
        """Sends what is not sent yet, and keeps after each message that it is.

        A kill between Telegram's taking of a message and that is the one thing that nobody can know of afterwards: the
        message is sent again, rather than lost.
        """
        parts, state = task.parts or (), self._working.state
        for number, text in enumerate(parts[task.sent :], task.sent):
            try:
                await self._send(task, text, first=number == 0)
            except ChatUnavailable:
                LOG.info("update %s: the bot may not write to its chat", task.update)
                await state.change(task.chat, left=True)
                break
            except TelegramMigrateToChat as error:
                await state.move(task.chat, error.migrate_to_chat_id)
                self.wake(error.migrate_to_chat_id)
                return
            if number + 1 < len(parts):
                await state.sent(task, number + 1)
        await state.done(task)

    async def _send(self, task: Task, text: str, *, first: bool) -> None:
        answers = task.message if task.group and first else None
        sender = self._working.sender
        try:
            await sender.send(task.chat, text, group=task.group, thread=task.thread, answers=answers)
        except MessageRejected as error:
            LOG.warning("update %s: Telegram does not take a message: %s", task.update, error)
            if task.kind == "say":
                with contextlib.suppress(MessageRejected):
                    await sender.send(task.chat, texts.UNSHOWN, group=task.group)

    async def _stop(self, chat: int) -> None:
        with contextlib.suppress(ServerUnavailable, Refused, OSError):  # nothing is running any more
            conversation = (await self._working.state.settings(chat)).conversation
            if conversation is not None:
                await self._working.desk.server.ask("POST", f"/conversations/{conversation}/stop")


def _told(error: Exception) -> str:
    """What went wrong and where, without its words: they may be somebody's."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.filename}:{last.lineno}"
