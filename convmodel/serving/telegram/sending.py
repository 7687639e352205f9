"""Send messages to Telegram, with rate limits and retries."""

import asyncio
import logging

from aiogram import Bot
from aiogram.enums import ChatAction
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import SendChatAction, SendMessage, SendMessageDraft
from aiogram.types import LinkPreviewOptions, ReplyParameters

from convmodel.serving.telegram.errors import ChatUnavailable, MessageRejected, TokenRefused
from convmodel.serving.telegram.rate_limit import RateLimiter, backoff

LOG = logging.getLogger(__name__)

TIMEOUT = 30
"""Seconds for a request to the Bot API that is not long polling."""


class Sender:
    """Sends messages, and retries until Telegram accepts them. No parse mode is set: model output is plain text.

    Args:
        bot: client of the Bot API.
        pace: rate limits.
    """

    def __init__(self, bot: Bot, pace: RateLimiter) -> None:
        self._bot = bot
        self._pace = pace
        self.drafts = True

    async def send(
        self, chat: int, text: str, *, group: bool = False, thread: int | None = None, answers: int | None = None
    ) -> None:
        """Send a message.

        If the connection breaks, it is unknown whether Telegram has accepted the message; it is sent again.

        Args:
            chat: id of the chat.
            text: text of at most `message_split.LIMIT` code units.
            group: whether the chat is a group.
            thread: id of the topic in the chat; None for a chat without topics.
            answers: id of the message to show as answered; None for none.

        Raises:
            ChatUnavailable: if the bot may not write to the chat.
            MessageRejected: if Telegram rejects the message.
            TelegramMigrateToChat: if the chat has a new id.
            TokenRefused: if the Bot API rejects the token.
        """
        waits = backoff()
        while True:
            await self._pace.wait_turn(chat, group=group)
            try:
                await self._bot(_message(chat, text, thread, answers), request_timeout=TIMEOUT)
                return
            except TelegramRetryAfter as error:
                LOG.warning("Telegram requests a pause of %s seconds", error.retry_after)
                await asyncio.sleep(error.retry_after)
            except (TelegramNetworkError, TelegramServerError, ClientDecodeError, TelegramAPIError) as error:
                if isinstance(error, ClientDecodeError) and _accepted(error):
                    return
                if not _is_temporary(error):
                    if thread is None and answers is None:
                        raise MessageRejected(type(error).__name__) from None
                    # The topic may be closed, or the answered message deleted; send the text without them.
                    thread = answers = None
                else:
                    LOG.warning("sending a message failed, trying again: %s", type(error).__name__)
                    await waits.asleep()

    async def typing(self, chat: int, *, thread: int | None = None) -> None:
        """Show the typing indicator for five seconds; failures are ignored."""
        if self._pace.try_acquire():
            action = SendChatAction(chat_id=chat, action=ChatAction.TYPING, message_thread_id=thread)
            await self._try(action)

    async def draft(self, chat: int, number: int, text: str) -> bool:
        """Show a text in progress as a live draft; return whether that succeeded."""
        if not self.drafts or not self._pace.try_acquire():
            return False
        return await self._try(
            SendMessageDraft(chat_id=chat, draft_id=number, text=text, parse_mode=None, can_stop=True)
        )

    async def _try(self, method: SendChatAction | SendMessageDraft) -> bool:
        try:
            await self._bot(method, request_timeout=TIMEOUT)
            return True
        except (TelegramAPIError, ClientDecodeError) as error:
            LOG.debug("%s failed: %s", type(method).__name__, type(error).__name__)
            return False


def _message(chat: int, text: str, thread: int | None, answers: int | None) -> SendMessage:
    reply_to = None if answers is None else ReplyParameters(message_id=answers, allow_sending_without_reply=True)
    return SendMessage(
        chat_id=chat,
        text=text,
        parse_mode=None,
        message_thread_id=thread,
        # Models invent URLs, which should not be made attractive by a preview.
        link_preview_options=LinkPreviewOptions(is_disabled=True),
        reply_parameters=reply_to,
    )


def _accepted(error: ClientDecodeError) -> bool:
    """Return whether an undecodable response reports success."""
    return isinstance(error.data, dict) and error.data.get("ok") is True


def _is_temporary(error: Exception) -> bool:
    """Return whether a retry may succeed; translate or re-raise the errors that callers handle."""
    if isinstance(error, TelegramForbiddenError):
        raise ChatUnavailable from None
    if isinstance(error, TelegramUnauthorizedError):
        raise TokenRefused(REFUSED) from None
    if isinstance(error, TelegramMigrateToChat):
        raise error
    if isinstance(error, TelegramEntityTooLarge):
        return False
    return isinstance(error, TelegramNetworkError | TelegramServerError | ClientDecodeError)


REFUSED = "the Bot API rejects the token; set $TELEGRAM_BOT_TOKEN to the token that @BotFather shows for the bot"
