"""Request replies from the server, and repeat requests whose reply was cut off."""

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any

from aiogram.exceptions import TelegramMigrateToChat

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.api_client import Refused, ServerClient, retry_with_backoff
from convmodel.serving.telegram.drafts import DraftUpdater
from convmodel.serving.telegram.messages import clean, split
from convmodel.serving.telegram.sending import ChatUnavailable, MessageRejected, Sender
from convmodel.serving.telegram.state import BotState, ChatSettings, begin_conversation, change_chat, chat_settings
from convmodel.serving.telegram.task_queue import Task

LOG = logging.getLogger(__name__)

ATTEMPTS = 6
"""Maximum number of requests per reply; then the partial text is used."""


@dataclass(frozen=True)
class BotContext:
    """Objects that all tasks of a bot share.

    Args:
        state: storage of the tasks and of the chats' settings.
        server: client of the convmodel server.
        sender: sends the messages.
        characters: maximum length of a turn.
    """

    state: BotState
    server: ServerClient
    sender: Sender
    characters: int


async def current_conversation(context: BotContext, task: Task) -> str:
    """Return the conversation id of a task's chat; create the conversation and send it the settings if necessary.

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
    if not settings.told:
        if settings.preset or settings.options or settings.persona is not None:
            await send_settings(context, settings.conversation, settings)
        await context.state.write(change_chat, task.chat, told=True)
    return settings.conversation


async def send_settings(context: BotContext, conversation: str, settings: ChatSettings) -> dict[str, Any]:
    """Send the settings of a chat to a conversation, and return them as JSON."""
    persona = None if settings.persona is None else list(settings.persona)
    body = {"persona": persona, "preset": settings.preset, "options": dict(settings.options)}
    await context.server.ask("PATCH", f"/conversations/{conversation}", body)
    return body


async def answer(context: BotContext, task: Task, text: str, **changes: Any) -> list[str]:
    """Store the answer to a task, and changes to the `ChatSettings` of its chat; return the messages of the answer."""
    parts = split(text)
    await context.state.write(task_queue.store_answer, task, parts, **changes)
    return parts


async def answer_with_reply(context: BotContext, task: Task) -> list[str]:
    """Request the reply to a turn or a /retry, and store it; return its messages.

    If this program or the server ended during generation, the server has stored the partial reply. The repeated
    request, with the same key, returns it; then a new request, whose attempt number is stored first, generates the
    reply again.
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
        # Sending the reply will meet the same error and handle it.
        with contextlib.suppress(ChatUnavailable, MessageRejected, TelegramMigrateToChat):
            await context.sender.send(task.chat, texts.LONGER, group=task.group, thread=task.thread)

    return await retry_with_backoff(once, longer=longer)


def _key(context: BotContext, task: Task) -> str:
    """Return the prefix of a task's idempotency keys."""
    return f"telegram-{context.state.bot}-{task.update}"


def _path(task: Task) -> str:
    if task.plan is not None:
        return str(task.plan["path"])
    return "turns" if task.kind == "say" else "retry"
