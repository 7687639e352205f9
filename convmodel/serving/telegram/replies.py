"""A task that wants a reply in, the messages of the reply out; whatever is cut off on the way is made whole."""

import contextlib
import logging
from dataclasses import replace
from typing import Any

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram.api_client import Server, retry_with_backoff
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.drafts import DraftUpdater
from convmodel.serving.telegram.errors import ChatUnavailable, MessageRejected, Refused
from convmodel.serving.telegram.message_split import split
from convmodel.serving.telegram.sending import Sender
from convmodel.serving.telegram.task_queue import State, Task

LOG = logging.getLogger(__name__)

ATTEMPTS = 6
"""Requests for one reply; after so many, what there is is taken."""


class Replies:
    """Has tasks replied to.

    Args:
        state: keeps which request is being made, so that a restart makes the same one.
        server: replies.
        sender: shows what is going on.
        bot: id of the bot, for the keys of idempotency.
    """

    def __init__(self, state: State, server: Server, sender: Sender, *, bot: int) -> None:
        self._state, self._server, self._sender, self._bot = state, server, sender, bot

    async def conversation(self, task: Task) -> str:
        """The conversation of a task's chat, which is begun where there is none, and told how to reply.

        Raises:
            Refused: for settings that the server does not take any more.
        """
        chat = task.chat
        settings = await self._state.settings(chat)
        if settings.conversation is None:
            body, key = {"meta": {"from": "telegram"}}, f"{self._key(task)}-begin"
            begun = await retry_with_backoff(lambda: self._server.ask("POST", "/conversations", body, key=key))
            await self._state.begin_conversation(chat, str(begun["id"]))
            settings = await self._state.settings(chat)
        assert settings.conversation is not None
        if not settings.told:
            path = f"/conversations/{settings.conversation}"
            if any(told(settings).values()) or settings.persona is not None:
                await retry_with_backoff(lambda: self._server.ask("PATCH", path, told(settings)))
            await self._state.change(chat, told=True)
        return settings.conversation

    async def reply(self, task: Task) -> list[str]:
        """The messages that answer a turn, or a /retry.

        A reply that was cut off because this program or the server ended is stored there as far as it had come. Its
        request, with the same key, finds it; then it is made anew by another request, whose number is kept first.
        """
        gone = 0
        async with DraftUpdater(self._sender, task) as showing:
            while True:
                try:
                    answer = await self._request(task, showing)
                except Refused as error:
                    if error.status != 404 or _path(task) != "turns" or gone == ATTEMPTS:
                        return split(texts.refused(error))
                    gone += 1  # deleted on the server, by its age or by hand
                    LOG.warning("update %s: its conversation is gone from the server", task.update)
                    await self._state.change(task.chat, conversation=None)
                    continue
                next_way = await self._not_whole(task, answer)
                if next_way is None:
                    return split(_text(answer)) or [texts.STOPPED if _cut_off(answer) else texts.EMPTY]
                task = await self._turn_to(task, next_way)

    def _key(self, task: Task) -> str:
        """What names a task to the server."""
        return f"telegram-{self._bot}-{task.update}"

    async def _request(self, task: Task, showing: DraftUpdater) -> dict[str, Any]:
        path = _path(task)
        conversation = (
            await self.conversation(task) if path == "turns" else (await self._state.settings(task.chat)).conversation
        )
        if conversation is None:
            raise Refused(409, texts.NOTHING_TO_REPLY_TO)
        key = self._key(task) + (f"-{task.attempt}" if task.attempt else "")
        body = {"text": task.text, "join": True} if path == "turns" else {}

        async def once() -> dict[str, Any]:
            showing.again()
            url = f"/conversations/{conversation}/{path}"
            return await self._server.reply(url, body, key=key, piece=showing.piece)

        async def longer() -> None:
            with contextlib.suppress(
                ChatUnavailable, MessageRejected, TelegramMigrateToChat
            ):  # the reply will find out, too
                await self._sender.send(task.chat, texts.LONGER, group=task.group, thread=task.thread)

        return await retry_with_backoff(once, longer=longer)

    async def _not_whole(self, task: Task, answer: dict[str, Any]) -> str | None:
        """The path of the next request where a reply was cut off, and not because the person wanted it."""
        if not _cut_off(answer) or task.attempt >= ATTEMPTS or await self._state.is_stopped(task):
            return None
        return "reply" if answer.get("waiting") is True else "retry"

    async def _turn_to(self, task: Task, path: str) -> Task:
        task = replace(task, plan={"path": path}, attempt=task.attempt + 1)
        await self._state.attempt(task, plan=task.plan, attempt=task.attempt)
        return task


def told(settings: ChatSettings) -> dict[str, Any]:
    """What a conversation is told of how to reply."""
    return {
        "persona": None if settings.persona is None else list(settings.persona),
        "preset": settings.preset,
        "options": dict(settings.options),
    }


def _path(task: Task) -> str:
    if task.plan is not None:
        return str(task.plan["path"])
    return "turns" if task.kind == "say" else "retry"


def _cut_off(answer: dict[str, Any]) -> bool:
    return (answer.get("reply") or {}).get("finish") == "cancelled"


def _text(answer: dict[str, Any]) -> str:
    return str((answer.get("reply") or {}).get("text") or "")
