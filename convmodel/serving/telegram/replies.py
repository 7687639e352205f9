"""Requests for replies from the server: showing their progress, and repeating requests whose reply was cut off."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.api_client import Refused, ServerClient, retry_with_backoff
from convmodel.serving.telegram.messages import clean, split
from convmodel.serving.telegram.sending import ChatUnavailable, MessageRejected, Sender
from convmodel.serving.telegram.state import BotState, ChatSettings, begin_conversation, change_chat, chat_settings
from convmodel.serving.telegram.task_queue import Task

LOG = logging.getLogger(__name__)

ATTEMPTS = 6
"""Maximum number of repeated requests for a reply; then the partial text becomes the reply."""

EVERY = 1.0
"""Seconds between updates of a draft."""

LAST = 2.0
"""Maximum number of seconds to wait until the last update of a draft is sent."""

TYPING = 4.0
"""Seconds between typing indicators; Telegram shows an indicator for five seconds."""


@dataclass(frozen=True)
class BotContext:
    """Objects that all tasks of a bot share; `characters` is the maximum number of characters of a turn."""

    state: BotState
    server: ServerClient
    sender: Sender
    characters: int


class DraftUpdater:
    """Async context manager that shows the progress of a task's reply as a draft or a typing indicator.

    Failures to show the progress are ignored.
    """

    def __init__(self, sender: Sender, task: Task) -> None:
        self._sender = sender
        self._task = task
        # Only private chats have drafts. The id of a draft must not be zero, and all clients support 31 bits.
        self._drafts = not task.group
        self._draft_id = task.update % (2**31 - 1) + 1
        self.pieces: list[str] = []
        """Pieces of the reply's text so far; cleared when the reply is requested again."""
        self._over = asyncio.Event()

    async def __aenter__(self) -> "DraftUpdater":
        self._loop = asyncio.create_task(self._show())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        # Wait, but not for long, until a draft that is being sent arrives; otherwise it might appear after the reply.
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


async def current_conversation(context: BotContext, task: Task) -> str:
    """Return the id of the current conversation of a task's chat.

    If the chat has no conversation, create it on the server. If the chat's settings were not sent to it yet, send them.

    Raises:
        Refused: if the server rejects the settings.
    """
    settings = await context.state.read(chat_settings, task.chat)
    if settings.conversation is None:
        body = {"meta": {"from": "telegram"}}
        created = await context.server.ask("POST", "/conversations", body, key=f"{_key(context, task)}-begin")
        await context.state.write(begin_conversation, task.chat, str(created["id"]))
        settings = await context.state.read(chat_settings, task.chat)
    assert settings.conversation is not None
    if not settings.settings_sent:
        if settings.preset or settings.options or settings.persona is not None:
            await send_settings(context, settings.conversation, settings)
        await context.state.write(change_chat, task.chat, settings_sent=True)
    return settings.conversation


async def send_settings(context: BotContext, conversation: str, settings: ChatSettings) -> dict[str, Any]:
    """Send the settings of a chat to a conversation on the server, and return them as JSON."""
    persona = None if settings.persona is None else list(settings.persona)
    body = {"persona": persona, "preset": settings.preset, "options": dict(settings.options)}
    await context.server.ask("PATCH", f"/conversations/{conversation}", body)
    return body


async def answer(context: BotContext, task: Task, text: str, **changes: Any) -> list[str]:
    """Store the answer to a task, and changes to the `ChatSettings` of its chat; return the messages of the answer."""
    parts = split(text)
    await context.state.write(task_queue.store_answer, task, parts, **changes)
    return parts


async def request_reply(context: BotContext, task: Task) -> list[str]:
    """Request the reply to a turn or to /retry from the server, and store it as the answer; return its messages.

    If the bot or the server ended while a reply was generated, the server has stored the partial reply. The repeated
    request with the same idempotency key returns the partial reply. Then a new request generates the reply again; its
    attempt number is stored before it is sent.
    """
    missing = 0
    async with DraftUpdater(context.sender, task) as draft:
        while True:
            try:
                response = await _request(context, task, draft)
            except Refused as error:
                if error.status != 404 or _path(task) != "turns" or missing == ATTEMPTS:
                    return await answer(context, task, error.user_message(texts.FAILED))
                missing += 1  # the conversation expired or was deleted on the server
                LOG.warning("update %s: its conversation no longer exists on the server", task.update)
                await context.state.write(change_chat, task.chat, conversation=None)
                continue
            reply = response.get("reply") or {}
            cut_off = reply.get("finish") == "cancelled"
            if not cut_off or task.attempt >= ATTEMPTS or await context.state.read(task_queue.is_stopped, task):
                text = clean(str(reply.get("text") or "")).strip()
                return await answer(context, task, text or (texts.STOPPED if cut_off else texts.EMPTY))
            plan = {"path": "reply" if response.get("waiting") is True else "retry"}
            task = replace(task, plan=plan, attempt=task.attempt + 1)
            await context.state.write(task_queue.change_task, task, plan=plan, attempt=task.attempt)


async def _request(context: BotContext, task: Task, draft: DraftUpdater) -> dict[str, Any]:
    path = _path(task)
    if path == "turns":
        conversation: str | None = await current_conversation(context, task)
    else:
        conversation = (await context.state.read(chat_settings, task.chat)).conversation
    if conversation is None:
        raise Refused(409, texts.NOTHING_TO_REPLY_TO)
    url = f"/conversations/{conversation}/{path}"
    key = _key(context, task) + (f"-{task.attempt}" if task.attempt else "")
    body = {"text": task.text, "join": True} if path == "turns" else {}

    async def once() -> dict[str, Any]:
        draft.pieces.clear()
        return await context.server.reply(url, body, key=key, piece=draft.pieces.append)

    async def longer() -> None:
        # These errors are handled when the reply is sent, which will raise them again.
        with contextlib.suppress(ChatUnavailable, MessageRejected, TelegramMigrateToChat):
            await context.sender.send(task.chat, texts.LONGER, group=task.group, thread=task.thread)

    return await retry_with_backoff(once, longer=longer)


def _key(context: BotContext, task: Task) -> str:
    """Return the first idempotency key of a task, to which suffixes are appended for its other requests."""
    return f"telegram-{context.state.bot}-{task.update}"


def _path(task: Task) -> str:
    if task.plan is not None:
        return str(task.plan["path"])
    return "turns" if task.kind == "say" else "retry"
