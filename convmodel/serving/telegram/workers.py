"""Process the tasks of chats: sequentially within a chat, concurrently across chats."""

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
from convmodel.serving.telegram.task_queue import Task, TaskQueue

LOG = logging.getLogger(__name__)

DEFECTS = 3
"""Maximum number of unexpected failures of a task; then the user gets an error message."""


@dataclass(frozen=True)
class WorkerContext:
    """Objects that the workers use.

    Args:
        state: storage of the tasks.
        sender: sends the messages.
        commands: context of the commands.
        characters: maximum length of a turn.
    """

    state: TaskQueue
    sender: Sender
    commands: CommandContext
    characters: int


class ChatWorkers:
    """One worker per chat with open tasks.

    Args:
        context: objects that the workers use.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._woken: set[int] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._closing = False
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises TokenRefused if the Bot API rejects the token."""

    def wake(self, chat: int) -> None:
        """Make a worker look for the tasks of a chat."""
        self._woken.add(chat)
        if chat not in self._tasks and not self._closing:
            self._tasks[chat] = asyncio.create_task(self._work(chat))

    def stop(self, chat: int) -> None:
        """Stop the reply in progress in a chat; the text generated so far becomes the reply."""
        stopping = asyncio.create_task(self._stop(chat))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def close(self, *, grace: float) -> None:
        """Wait for the tasks in progress, at most `grace` seconds; the rest is done after the next start."""
        self._closing = True
        running = {*self._tasks.values(), *self._stopping}
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.refused.cancel()

    async def _work(self, chat: int) -> None:
        """Process the tasks of a chat. Only a rejected token, which concerns all chats, ends this with an error."""
        waits = backoff()
        defects = Counter[int]()
        try:
            while chat in self._woken and not self._closing:
                self._woken.discard(chat)
                try:
                    while not self._closing and await self._next(chat, defects):
                        waits.reset()
                except TokenRefused as error:
                    if not self.refused.done():
                        self.refused.set_exception(error)
                    return
                except Exception as error:
                    LOG.error("chat: %s; trying again", _describe(error))
                    self._woken.add(chat)
                    await waits.asleep()
        finally:
            # There is no await between the last check of `_woken` and this, so that no wake-up is lost.
            del self._tasks[chat]

    async def _next(self, chat: int, defects: Counter[int]) -> bool:
        """Process the next task of a chat; return whether there was one."""
        state = self._context.state
        task = await state.next_task(chat, characters=self._context.characters)
        if task is None:
            return False
        try:
            await self._do(task)
        except (TokenRefused, OSError):  # OSError: the store is unavailable; the task is not at fault
            raise
        except Exception as error:
            defects[task.update] += 1
            if defects[task.update] < DEFECTS:
                raise
            LOG.error("update %s is given up: %s", task.update, _describe(error))
            text = texts.NOT_DONE if task.kind == "command" else texts.FAILED
            await self._deliver(replace(task, parts=(text,), sent=0))
        return True

    async def _do(self, task: Task) -> None:
        if (await self._context.state.settings(task.chat)).left:
            await self._context.state.finish(task)
            return
        if task.parts is None:
            task = replace(task, parts=tuple(await self._answer(task)), sent=0)
        await self._deliver(task)

    async def _answer(self, task: Task) -> list[str]:
        """Return the messages of the answer; they are stored before they are sent."""
        if task.kind == "command":
            return await answer_command(self._context.commands, task)
        parts = await self._context.commands.replies.reply(task) if task.kind == "say" else [texts.UNREADABLE]
        await self._context.state.store_answer(task, parts)
        return parts

    async def _deliver(self, task: Task) -> None:
        """Send the messages that are not sent yet, and store the progress after each.

        If the process is killed after Telegram has accepted a message and before that is stored, the message is sent
        again: a duplicate is better than a loss.
        """
        parts = task.parts or ()
        state = self._context.state
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
                await state.store_sent(task, number + 1)
        await state.finish(task)

    async def _send(self, task: Task, text: str, *, first: bool) -> None:
        answers = task.message if task.group and first else None
        sender = self._context.sender
        try:
            await sender.send(task.chat, text, group=task.group, thread=task.thread, answers=answers)
        except MessageRejected as error:
            LOG.warning("update %s: Telegram rejects a message: %s", task.update, error)
            if task.kind == "say":
                with contextlib.suppress(MessageRejected):
                    await sender.send(task.chat, texts.UNSHOWN, group=task.group)

    async def _stop(self, chat: int) -> None:
        with contextlib.suppress(ServerUnavailable, Refused, OSError):  # then no reply is in progress
            conversation = (await self._context.state.settings(chat)).conversation
            if conversation is not None:
                await self._context.commands.server.ask("POST", f"/conversations/{conversation}/stop")


def _describe(error: Exception) -> str:
    """Return the type and place of an error, without its message, which may quote users' texts."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.filename}:{last.lineno}"
