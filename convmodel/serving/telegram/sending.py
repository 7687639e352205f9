"""Sending of messages to Telegram, with rate limits and retries."""

import asyncio
import logging

from aiogram import Bot, exceptions
from aiogram.enums import ChatAction
from aiogram.methods import SendChatAction, SendMessage, SendMessageDraft
from aiogram.types import LinkPreviewOptions, ReplyParameters

from convmodel.serving.telegram.rate_limit import RateLimiter, backoff

LOG = logging.getLogger(__name__)

TIMEOUT = 30
"""Timeout in seconds of requests to the Bot API, except long polling."""


class TokenRefused(ValueError):
    """The Bot API rejects the token; the bot cannot work until it gets another token."""

    def __init__(self) -> None:
        super().__init__(
            "the Bot API rejects the token; set $TELEGRAM_BOT_TOKEN to the token that @BotFather shows for the bot"
        )


class ChatUnavailable(Exception):
    """The bot may not write to a chat because it was blocked or removed."""


class MessageRejected(Exception):
    """Telegram rejects a message permanently, so that it must not be sent again."""


class Sender:
    """Sends messages, and retries until Telegram accepts them. Messages have no parse mode: model output is plain text.

    Args:
        bot: the client of the Bot API.
        pace: limits the rate of messages.
    """

    def __init__(self, bot: Bot, pace: RateLimiter) -> None:
        self._bot = bot
        self._pace = pace

    async def send(
        self, chat: int, text: str, *, group: bool = False, thread: int | None = None, answers: int | None = None
    ) -> None:
        """Send a message, and return when Telegram has accepted it.

        If the connection breaks, it is unknown whether Telegram has accepted the message, and it is sent again.

        Args:
            chat: id of the chat.
            text: text of at most `messages.LIMIT` UTF-16 code units.
            group: whether the chat is a group, which has a stricter rate limit.
            thread: id of the topic in the chat; None for a chat without topics.
            answers: id of the message that this one is shown as a reply to; None for no message.

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
            except exceptions.TelegramMigrateToChat:
                raise
            except exceptions.TelegramForbiddenError:
                raise ChatUnavailable from None
            except exceptions.TelegramUnauthorizedError:
                raise TokenRefused from None
            except exceptions.TelegramRetryAfter as error:
                LOG.warning("Telegram requests a pause of %s seconds", error.retry_after)
                await asyncio.sleep(error.retry_after)
            except exceptions.AiogramError as error:
                if _is_accepted(error):
                    return
                if _is_temporary(error):
                    LOG.warning("sending a message failed, trying again: %s", type(error).__name__)
                    await waits.asleep()
                elif thread is None and answers is None:
                    raise MessageRejected(type(error).__name__) from None
                else:  # the topic may be closed, or the answered message deleted; send without topic and answer
                    thread = None
                    answers = None

    async def typing(self, chat: int, *, thread: int | None = None) -> None:
        """Show the typing indicator in a chat for five seconds; ignore failures."""
        await self._try(SendChatAction(chat_id=chat, action=ChatAction.TYPING, message_thread_id=thread))

    async def draft(self, chat: int, id: int, text: str) -> bool:
        """Show the text of a reply in progress as a draft in the chat; return whether Telegram accepted it.

        Args:
            id: id of the draft; a call with the same id replaces the draft's text.
        """
        return await self._try(SendMessageDraft(chat_id=chat, draft_id=id, text=text, parse_mode=None, can_stop=True))

    async def _try(self, method: SendChatAction | SendMessageDraft) -> bool:
        if not self._pace.try_acquire():
            return False
        try:
            await self._bot(method, request_timeout=TIMEOUT)
            return True
        except exceptions.AiogramError as error:
            LOG.debug("%s failed: %s", type(method).__name__, type(error).__name__)
            return False


def _message(chat: int, text: str, thread: int | None, answers: int | None) -> SendMessage:
    reply_to = None if answers is None else ReplyParameters(message_id=answers, allow_sending_without_reply=True)
    return SendMessage(
        chat_id=chat,
        text=text,
        parse_mode=None,
        message_thread_id=thread,
        # No previews: models invent URLs, and a preview would invite users to open them.
        link_preview_options=LinkPreviewOptions(is_disabled=True),
        reply_parameters=reply_to,
    )


def _is_accepted(error: Exception) -> bool:
    """Return whether an error is an undecodable response that nevertheless reports success."""
    data = error.data if isinstance(error, exceptions.ClientDecodeError) else None
    return isinstance(data, dict) and data.get("ok") is True


def _is_temporary(error: Exception) -> bool:
    temporary = (exceptions.TelegramNetworkError, exceptions.TelegramServerError, exceptions.ClientDecodeError)
    return isinstance(error, temporary) and not isinstance(error, exceptions.TelegramEntityTooLarge)
