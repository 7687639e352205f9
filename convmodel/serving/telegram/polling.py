"""What Telegram has for the bot in, rows that must be done out; what is confirmed to Telegram is safe on the disk."""

import asyncio
import logging
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramConflictError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from convmodel.serving.telegram.errors import TokenRefused
from convmodel.serving.telegram.rate_limit import backoff
from convmodel.serving.telegram.sending import REFUSED, TIMEOUT
from convmodel.serving.telegram.task_queue import State
from convmodel.serving.telegram.updates import KINDS, Asked, asked
from convmodel.serving.telegram.updates import dispatcher as make_dispatcher
from convmodel.serving.telegram.workers import Chats

LOG = logging.getLogger(__name__)

PRUNE_SECONDS = 3600.0


class GetUpdates(TelegramMethod[list[Any]]):
    """getUpdates, whose updates are read one by one: one that cannot be read does not hide the others."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Poller:
    """Asks for updates and keeps them.

    Args:
        bot: asks.
        state: keeps them, and then the offset with which the next request confirms them.
        chats: are woken.
        seconds: for which Telegram waits for something to tell.
    """

    def __init__(self, bot: Bot, state: State, chats: Chats, *, seconds: int = 30) -> None:
        self._bot, self._state, self._chats, self._seconds = bot, state, chats, seconds
        self._dispatcher: Dispatcher = make_dispatcher()
        self._pruned = 0.0

    async def run(self) -> None:
        """Never returns.

        Raises:
            TokenRefused: the bot may do nothing any more.
        """
        waits, offset = backoff(), await self._open()
        while True:
            try:
                raw = await self._bot(
                    GetUpdates(offset=offset, timeout=self._seconds, allowed_updates=KINDS),
                    request_timeout=self._seconds + TIMEOUT,
                )
                following = await self._take_in(raw)
            except TelegramUnauthorizedError:
                raise TokenRefused(REFUSED) from None
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
            except (TelegramAPIError, ClientDecodeError, OSError) as error:  # OSError: the store is not there now
                # A conflict says of itself what it is: another program with the same token, or a webhook. What others
                # say may hold the address that was asked, and with it the token.
                detail = error.message if isinstance(error, TelegramConflictError) else ""
                LOG.warning("no updates: %s %s", type(error).__name__, detail)
                await waits.asleep()
            else:
                if raw and following is None:  # nothing there has an id by which it could be confirmed
                    await waits.asleep()
                else:
                    waits.reset()
                offset = offset if following is None else following
                await self._prune()

    async def _open(self) -> int | None:
        for chat in await self._state.chats_to_do():
            self._chats.wake(chat)
        return await self._state.next_offset()

    async def _take_in(self, raw: list[Any]) -> int | None:
        """Keeps updates; returns the offset that confirms them, or None where there is none."""
        received: list[tuple[int, Asked | None]] = []
        for one in raw:
            number = update_id(one)
            if number is None:
                LOG.warning("an update without a usable update_id is passed over")
            else:
                received.append((number, await self._read(number, one)))
        if not received:
            return None
        # Of these updates, not of all times: after a quiet week Telegram's numbers may begin anew, lower.
        offset = max(number for number, _ in received) + 1
        for chat in await self._state.take_in(received, offset=offset):
            self._chats.wake(chat)
        for _, asks in received:
            if asks is not None and asks.kind == "stop":
                self._chats.stop(asks.chat)
            elif asks is not None and asks.moved_to is not None:
                self._chats.wake(asks.moved_to)  # what waited has moved with the chat
        return offset

    async def _read(self, number: int, one: Any) -> Asked | None:
        """What an update asks; None, and a line in the log, for one that cannot be read."""
        try:
            update = Update.model_validate(one, context={"bot": self._bot})
            asks = await asked(update, bot=self._bot, dispatcher=self._dispatcher)
            if asks is not None:
                _check(asks)
            return asks
        except ValidationError as error:
            [problem, *_] = error.errors(include_input=False, include_url=False, include_context=False)
            where = ".".join(str(part) for part in problem["loc"])
            LOG.warning("update %s is passed over: %s: %s", number, where, problem["type"])
        except Exception as error:
            LOG.warning("update %s is passed over: %s", number, type(error).__name__)
        return None

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._pruned > PRUNE_SECONDS or not self._pruned:
            self._pruned = now
            await self._state.prune()


def update_id(one: Any) -> int | None:
    """The id of an update, if it is one that a store can hold."""
    number = one.get("update_id") if isinstance(one, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**63 - 1 else None


def _check(asks: Asked) -> None:
    """Raises OverflowError for ids that no store can hold."""
    for number in (asks.chat, asks.message, asks.thread, asks.moved_to):
        if number is not None and not -(2**63) <= number < 2**63:
            raise OverflowError
