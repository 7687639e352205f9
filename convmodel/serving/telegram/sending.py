"""A chat and a text in, a message that Telegram has taken out."""

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
"""Seconds for a request to Telegram that is answered at once."""


class Sender:
    """Sends messages until they are taken, at Telegram's pace; never with a parse mode: what a model wrote is text.

    Args:
        bot: that writes.
        pace: at which it may.
    """

    def __init__(self, bot: Bot, pace: RateLimiter) -> None:
        self._bot, self._pace = bot, pace
        self.drafts = True

    async def send(
        self, chat: int, text: str, *, group: bool = False, thread: int | None = None, answers: int | None = None
    ) -> None:
        """Sends one message.

        Whether one was taken is not known when the connection broke: it is sent again.

        Args:
            text: of at most `splitting.LIMIT` code units.
            thread: of the chat.
            answers: the message that it answers, shown with it.

        Raises:
            Gone: the bot may not write there.
            NotTaken: Telegram takes no such message.
            TelegramMigrateToChat: the chat has another id.
            TokenRefused: the bot may do nothing any more.
        """
        waits = backoff()
        while True:
            await self._pace.turn(chat, group=group)
            try:
                await self._bot(_message(chat, text, thread, answers), request_timeout=TIMEOUT)
                return
            except TelegramRetryAfter as error:
                LOG.warning("Telegram wants %s seconds of rest", error.retry_after)
                await asyncio.sleep(error.retry_after)
            except (TelegramNetworkError, TelegramServerError, ClientDecodeError, TelegramAPIError) as error:
                if isinstance(error, ClientDecodeError) and _accepted(error):
                    return
                if not _passing(error):
                    if thread is None and answers is None:
                        raise MessageRejected(type(error).__name__) from None
                    thread = answers = None  # the thread may be closed, the message deleted; the text still counts
                else:
                    LOG.warning("a message is not taken yet: %s", type(error).__name__)
                    await waits.asleep()

    async def typing(self, chat: int, *, thread: int | None = None) -> None:
        """Shows for five seconds that something is written; left out where that fails."""
        if self._pace.now():
            action = SendChatAction(chat_id=chat, action=ChatAction.TYPING, message_thread_id=thread)
            await self._left_out(action)

    async def draft(self, chat: int, number: int, text: str) -> bool:
        """Shows a text that is being written, where Telegram can; whether it did."""
        if not self.drafts or not self._pace.now():
            return False
        return await self._left_out(
            SendMessageDraft(chat_id=chat, draft_id=number, text=text, parse_mode=None, can_stop=True)
        )

    async def _left_out(self, method: SendChatAction | SendMessageDraft) -> bool:
        try:
            await self._bot(method, request_timeout=TIMEOUT)
            return True
        except (TelegramAPIError, ClientDecodeError) as error:
            LOG.debug("%s failed: %s", type(method).__name__, type(error).__name__)
            return False


def _message(chat: int, text: str, thread: int | None, answers: int | None) -> SendMessage:
    return SendMessage(
        chat_id=chat,
        text=text,
        parse_mode=None,
        message_thread_id=thread,
        # A model makes addresses up; nobody is to be led there by a picture.
        link_preview_options=LinkPreviewOptions(is_disabled=True),
        reply_parameters=None
        if answers is None
        else ReplyParameters(message_id=answers, allow_sending_without_reply=True),
    )


def _accepted(error: ClientDecodeError) -> bool:
    """Whether an answer that could not be read says that all is well."""
    return isinstance(error.data, dict) and error.data.get("ok") is True


def _passing(error: Exception) -> bool:
    """Whether it may go better another time; raises what somebody else has to deal with."""
    if isinstance(error, TelegramForbiddenError):
        raise ChatUnavailable from None
    if isinstance(error, TelegramUnauthorizedError):
        raise TokenRefused(REFUSED) from None
    if isinstance(error, TelegramMigrateToChat):
        raise error
    if isinstance(error, TelegramEntityTooLarge):
        return False
    return isinstance(error, TelegramNetworkError | TelegramServerError | ClientDecodeError)


REFUSED = "the Bot API refuses the token; give the one that @BotFather shows for the bot in $TELEGRAM_BOT_TOKEN"
