"""Request replies from the server, and repeat requests whose reply was cut off."""

import contextlib
import logging
from dataclasses import replace
from typing import Any

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram.api_client import ServerClient, retry_with_backoff
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.drafts import DraftUpdater
from convmodel.serving.telegram.errors import ChatUnavailable, MessageRejected, Refused
from convmodel.serving.telegram.message_split import split
from convmodel.serving.telegram.sending import Sender
from convmodel.serving.telegram.task_queue import Task, TaskQueue

LOG = logging.getLogger(__name__)

ATTEMPTS = 6
"""Maximum number of requests per reply; then the partial text is used."""


class ReplyRequester:
    """Requests the replies of tasks.

    Args:
        state: storage of the current request of a task, so that a restart repeats the same one.
        server: client of the server that generates the replies.
        sender: sends drafts and notices.
        bot: id of the bot, part of the idempotency keys.
    """

    def __init__(self, state: TaskQueue, server: ServerClient, sender: Sender, *, bot: int) -> None:
        self._state = state
        self._server = server
        self._sender = sender
        self._bot = bot

    async def conversation(self, task: Task) -> str:
        """Return the conversation id of a task's chat; create the conversation and send it the settings if necessary.

        Raises:
            Refused: if the server rejects the settings.
        """
        chat = task.chat
        settings = await self._state.settings(chat)
        if settings.conversation is None:
            body = {"meta": {"from": "telegram"}}
            key = f"{self._key(task)}-begin"
            created = await retry_with_backoff(lambda: self._server.ask("POST", "/conversations", body, key=key))
            await self._state.begin_conversation(chat, str(created["id"]))
            settings = await self._state.settings(chat)
        assert settings.conversation is not None
        if not settings.told:
            path = f"/conversations/{settings.conversation}"
            body = settings_body(settings)
            if any(body.values()) or settings.persona is not None:
                await retry_with_backoff(lambda: self._server.ask("PATCH", path, body))
            await self._state.change(chat, told=True)
        return settings.conversation

    async def reply(self, task: Task) -> list[str]:
        """Return the messages that answer a turn or a /retry.

        If this program or the server ended during generation, the server has stored the partial reply. The repeated
        request, with the same key, returns it; then a new request, whose attempt number is stored first, generates the
        reply again.
        """
        missing = 0
        async with DraftUpdater(self._sender, task) as draft:
            while True:
                try:
                    answer = await self._request(task, draft)
                except Refused as error:
                    if error.status != 404 or _path(task) != "turns" or missing == ATTEMPTS:
                        return split(texts.refused(error))
                    missing += 1  # the conversation expired or was deleted on the server
                    LOG.warning("update %s: its conversation no longer exists on the server", task.update)
                    await self._state.change(task.chat, conversation=None)
                    continue
                path = await self._completing_path(task, answer)
                if path is None:
                    return split(_text(answer)) or [texts.STOPPED if _cut_off(answer) else texts.EMPTY]
                task = await self._next_attempt(task, path)

    def _key(self, task: Task) -> str:
        """Return the prefix of a task's idempotency keys."""
        return f"telegram-{self._bot}-{task.update}"

    async def _request(self, task: Task, draft: DraftUpdater) -> dict[str, Any]:
        path = _path(task)
        if path == "turns":
            conversation: str | None = await self.conversation(task)
        else:
            conversation = (await self._state.settings(task.chat)).conversation
        if conversation is None:
            raise Refused(409, texts.NOTHING_TO_REPLY_TO)
        key = self._key(task) + (f"-{task.attempt}" if task.attempt else "")
        body = {"text": task.text, "join": True} if path == "turns" else {}

        async def once() -> dict[str, Any]:
            draft.restart()
            url = f"/conversations/{conversation}/{path}"
            return await self._server.reply(url, body, key=key, piece=draft.add_piece)

        async def longer() -> None:
            # Sending the reply will meet the same error and handle it.
            with contextlib.suppress(ChatUnavailable, MessageRejected, TelegramMigrateToChat):
                await self._sender.send(task.chat, texts.LONGER, group=task.group, thread=task.thread)

        return await retry_with_backoff(once, longer=longer)

    async def _completing_path(self, task: Task, answer: dict[str, Any]) -> str | None:
        """Return the path of the next request if the reply was cut off, but not by the user; otherwise None."""
        if not _cut_off(answer) or task.attempt >= ATTEMPTS or await self._state.is_stopped(task):
            return None
        return "reply" if answer.get("waiting") is True else "retry"

    async def _next_attempt(self, task: Task, path: str) -> Task:
        task = replace(task, plan={"path": path}, attempt=task.attempt + 1)
        await self._state.store_attempt(task, plan=task.plan, attempt=task.attempt)
        return task


def settings_body(settings: ChatSettings) -> dict[str, Any]:
    """Return the body of the request that sends a chat's settings to its conversation."""
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
