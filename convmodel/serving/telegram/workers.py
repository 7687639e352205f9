"""Workers that process the tasks of chats: one after another in a chat, concurrently in different chats."""

import asyncio
import contextlib
import logging
import traceback
from collections import Counter
from dataclasses import replace

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.api_client import Refused, ServerUnavailable
from convmodel.serving.telegram.commands import answer_command
from convmodel.serving.telegram.rate_limit import backoff
from convmodel.serving.telegram.replies import BotContext, answer, request_reply
from convmodel.serving.telegram.sending import ChatUnavailable, MessageRejected, TokenRefused
from convmodel.serving.telegram.state import change_chat, chat_settings, move_chat
from convmodel.serving.telegram.task_queue import Task

LOG = logging.getLogger(__name__)

DEFECTS = 3
"""Number of unexpected failures of a task after which the bot gives up, and the user gets an error message."""


class ChatWorkers:
    """The workers of a bot: an asyncio task for each chat with open tasks."""

    def __init__(self, context: BotContext) -> None:
        self._context = context
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._woken: set[int] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._closing = False
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """A future that never has a result, but raises TokenRefused when the Bot API rejects the token."""

    def wake(self, chat: int) -> None:
        """Make the worker of a chat check for open tasks; start the worker if necessary."""
        self._woken.add(chat)
        if chat not in self._tasks and not self._closing:
            self._tasks[chat] = asyncio.create_task(self._work(chat))

    def stop(self, chat: int) -> None:
        """Stop the reply in progress in a chat; the text generated so far becomes the reply."""
        stopping = asyncio.create_task(self._stop(chat))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def close(self, *, grace: float) -> None:
        """Wait up to `grace` seconds for the tasks in progress, then cancel them; the next start continues them."""
        self._closing = True
        running = {*self._tasks.values(), *self._stopping}
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.refused.cancel()

    async def _work(self, chat: int) -> None:
        """Process the open tasks of a chat.

        After an unexpected error, the task is tried again. A rejected token concerns all chats: it is reported in
        `refused` and ends the worker.
        """
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
                    LOG.error("processing a task failed, trying again: %s", _describe(error))
                    self._woken.add(chat)
                    await waits.asleep()
        finally:
            # There must be no await between the last check of `_woken` and this line; a wake-up would be lost.
            del self._tasks[chat]

    async def _next(self, chat: int, defects: Counter[int]) -> bool:
        """Process the next task of a chat; return whether there was a task."""
        task = await self._context.state.write(task_queue.next_task, chat, characters=self._context.characters)
        if task is None:
            return False
        try:
            await self._do(task)
        except (TokenRefused, OSError):  # not caused by the task; OSError: the store is unavailable
            raise
        except Exception as error:
            defects[task.update] += 1
            if defects[task.update] < DEFECTS:
                raise
            LOG.error("giving up update %s: %s", task.update, _describe(error))
            text = texts.NOT_DONE if task.kind == "command" else texts.FAILED
            await self._deliver(replace(task, parts=(text,), sent=0))
        return True

    async def _do(self, task: Task) -> None:
        state = self._context.state
        if (await state.read(chat_settings, task.chat)).left:
            await state.write(task_queue.finish, task)
            return
        if task.parts is None:  # the answer is stored before it is sent
            if task.kind == "command":
                parts = await answer_command(self._context, task)
            elif task.kind == "say":
                parts = await request_reply(self._context, task)
            else:
                parts = await answer(self._context, task, texts.UNREADABLE)
            task = replace(task, parts=tuple(parts), sent=0)
        await self._deliver(task)

    async def _deliver(self, task: Task) -> None:
        """Send the messages of a task's answer that are not sent yet, and store the progress after each message.

        If the process is killed after Telegram has accepted a message, but before the progress is stored, the message
        is sent again: a duplicate is better than a loss.
        """
        parts = task.parts or ()
        state = self._context.state
        for index, text in enumerate(parts[task.sent :], task.sent):
            try:
                await self._send(task, text, first=index == 0)
            except ChatUnavailable:
                LOG.info("update %s: the bot may not write to its chat", task.update)
                await state.write(change_chat, task.chat, left=True)
                break
            except TelegramMigrateToChat as error:
                await state.write(move_chat, task.chat, error.migrate_to_chat_id)
                self.wake(error.migrate_to_chat_id)
                return
            if index + 1 < len(parts):
                await state.write(task_queue.change_task, task, sent=index + 1)
        await state.write(task_queue.finish, task)

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
            conversation = (await self._context.state.read(chat_settings, chat)).conversation
            if conversation is not None:
                await self._context.server.ask_once("POST", f"/conversations/{conversation}/stop")


def _describe(error: Exception) -> str:
    """Return the type of an error, and the file and line that raised it; its message may quote users' texts."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.filename}:{last.lineno}"
