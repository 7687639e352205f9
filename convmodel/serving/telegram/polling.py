"""Long polling: the bot receives updates, stores them, and only then confirms them to Telegram."""

import asyncio
import logging
from typing import Any

from aiogram import Bot, exceptions
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.rate_limit import backoff
from convmodel.serving.telegram.sending import TIMEOUT, TokenRefused
from convmodel.serving.telegram.state import BotState
from convmodel.serving.telegram.updates import KINDS, UpdateRequest, parse_update
from convmodel.serving.telegram.workers import ChatWorkers

LOG = logging.getLogger(__name__)

PRUNE_SECONDS = 3600.0


class GetUpdates(TelegramMethod[list[Any]]):
    """Telegram's getUpdates, but with unparsed updates, so that an invalid update does not make the others fail."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Poller:
    """Receives and stores updates, and wakes the workers of their chats.

    Args:
        bot: the client of the Bot API.
        state: the bot's tables.
        chats: the workers.
        seconds: timeout of long polling.
        names: whether turns in groups begin with names; see `parse_update`.
    """

    def __init__(
        self, bot: Bot, state: BotState, chats: ChatWorkers, *, seconds: int = 30, names: bool = False
    ) -> None:
        self._bot = bot
        self._state = state
        self._chats = chats
        self._seconds = seconds
        self._names = names
        self._pruned = 0.0

    async def run(self) -> None:
        """Poll for updates until cancelled; raise TokenRefused if the Bot API rejects the token."""
        waits = backoff()
        for chat in await self._state.read(task_queue.chats_to_do):
            self._chats.wake(chat)
        offset = await self._state.read(task_queue.next_offset)
        while True:
            try:
                raw = await self._bot(
                    GetUpdates(offset=offset, timeout=self._seconds, allowed_updates=KINDS),
                    request_timeout=self._seconds + TIMEOUT,
                )
                following = await self._take_in(raw)
            except exceptions.TelegramUnauthorizedError:
                raise TokenRefused from None
            except exceptions.TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
            except (exceptions.AiogramError, OSError) as error:  # OSError: the store is unavailable
                # Only the text of a conflict (a second program with the token, or a webhook) is safe to log. Other
                # messages may contain the URL, which contains the token.
                detail = error.message if isinstance(error, exceptions.TelegramConflictError) else ""
                LOG.warning("receiving updates failed, trying again: %s %s", type(error).__name__, detail)
                await waits.asleep()
            else:
                if raw and following is None:  # no update has a valid id, so that none can be confirmed
                    await waits.asleep()
                else:
                    waits.reset()
                offset = offset if following is None else following
                await self._prune()

    async def _take_in(self, raw: list[Any]) -> int | None:
        """Store updates and wake the workers of their chats.

        Returns:
            The offset that confirms the updates; None if no update has a valid id.
        """
        received: list[tuple[int, UpdateRequest | None]] = []
        for raw_update in raw:
            id = update_id(raw_update)
            if id is None:
                LOG.warning("skipping an update without a usable update_id")
            else:
                received.append((id, await self._read(id, raw_update)))
        if not received:
            return None
        # Not the maximum of all updates so far: after a week without updates, Telegram may continue with a lower id.
        offset = max(id for id, _ in received) + 1
        for chat in await self._state.write(task_queue.take_in, received, offset=offset):
            self._chats.wake(chat)
        for _, request in received:
            if request is not None and request.kind == "stop":
                self._chats.stop(request.chat)
            elif request is not None and request.moved_to is not None:
                self._chats.wake(request.moved_to)  # the waiting tasks have moved with the chat
        return offset

    async def _read(self, id: int, raw_update: Any) -> UpdateRequest | None:
        """Parse an update; if it is invalid, log its id and return None."""
        try:
            update = Update.model_validate(raw_update, context={"bot": self._bot})
            request = await parse_update(update, bot=self._bot, names=self._names)
            if request is None or request.is_storable:
                return request
            problem = "OverflowError"
        except ValidationError as error:
            [first, *_] = error.errors(include_input=False, include_url=False, include_context=False)
            problem = f"{'.'.join(str(part) for part in first['loc'])}: {first['type']}"
        except Exception as error:
            problem = type(error).__name__
        LOG.warning("skipping update %s: %s", id, problem)
        return None

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._pruned > PRUNE_SECONDS or not self._pruned:
            self._pruned = now
            await self._state.write(task_queue.prune)


def update_id(raw_update: Any) -> int | None:
    """Return the id of an unparsed update; None if it is missing, not positive, or too large for the store."""
    id = raw_update.get("update_id") if isinstance(raw_update, dict) else None
    return id if isinstance(id, int) and not isinstance(id, bool) and 0 < id < 2**63 - 1 else None
