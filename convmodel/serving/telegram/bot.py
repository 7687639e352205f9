"""A token, a server and a store in, a bot that answers until it is told to end."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import BotCommand as MenuEntry
from aiogram.types import User
from aiogram.utils.token import TokenValidationError, validate_token

from convmodel.data.atomic import file_lock
from convmodel.serving.store import Store
from convmodel.serving.telegram.api_client import Server
from convmodel.serving.telegram.commands import COMMANDS, CommandContext
from convmodel.serving.telegram.errors import Refused, ServerUnavailable, TokenRefused
from convmodel.serving.telegram.polling import Poller
from convmodel.serving.telegram.rate_limit import RateLimiter, backoff
from convmodel.serving.telegram.replies import Replies
from convmodel.serving.telegram.sending import REFUSED, TIMEOUT, Sender
from convmodel.serving.telegram.task_queue import State
from convmodel.serving.telegram.workers import Chats, WorkerContext

LOG = logging.getLogger(__name__)

CHARACTERS = 20_000
"""Of a turn that several messages are joined to, where the server does not say how many it takes."""


@dataclass(frozen=True)
class BotSettings:
    """What a bot needs.

    Args:
        url: of the convmodel server.
        key: that it wants, or None.
        api: the address of a Bot API server; None is Telegram's own.
        poll_seconds: for which Telegram waits for something to tell.
        gap, group_gap, per_second: see `waiting.RateLimiter`.
        grace: seconds for what has been begun when the bot is told to end.
    """

    url: str
    key: str | None = None
    api: str | None = None
    poll_seconds: int = 30
    gap: float = 1.0
    group_gap: float = 3.0
    per_second: float = 30.0
    grace: float = 15.0


def check_token(token: str | None) -> str:
    """A token that looks like one.

    Raises:
        ValueError: says where one comes from, and never what was given.
    """
    if not token:
        raise ValueError("there is no token; put the one that @BotFather gave into $TELEGRAM_BOT_TOKEN")
    try:
        validate_token(token)
    except TokenValidationError:
        raise ValueError("$TELEGRAM_BOT_TOKEN is no token; one looks like 123456:ABC-DEF") from None
    return token


def check_address(url: str, *, what: str) -> str:
    """An address over HTTP.

    Raises:
        ValueError: for anything else.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or any(character in url for character in "{}?# \t\n"):
        raise ValueError(f"{url!r} is no address of {what}; write one such as http://127.0.0.1:8000")
    return url.rstrip("/")


async def run_bot(token: str, settings: BotSettings, store: Store, *, ending: asyncio.Event) -> None:
    """Answers until `ending` is set, and then ends what it has begun.

    Args:
        token: see `check_token`.
        store: where the bot keeps its state; see `alone`.

    Raises:
        TokenRefused, ValueError: the bot cannot work as it was told to.
    """
    async with contextlib.AsyncExitStack() as stack:
        api = PRODUCTION if settings.api is None else TelegramAPIServer.from_base(settings.api)
        bot = Bot(token, session=AiohttpSession(api=api))
        stack.push_async_callback(bot.session.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        server = Server(session, settings.url, key=settings.key)
        state = State(store, bot=bot.id)
        await state.open()
        opening = asyncio.ensure_future(_introduce(bot, server, settings.url))
        if not await _unless(ending, opening):
            return
        pace = RateLimiter(gap=settings.gap, group_gap=settings.group_gap, per_second=settings.per_second)
        sender = Sender(bot, pace)
        desk = CommandContext(state, server, Replies(state, server, sender, bot=bot.id))
        chats = Chats(WorkerContext(state, sender, desk, opening.result()))
        poller = asyncio.ensure_future(Poller(bot, state, chats, seconds=settings.poll_seconds).run())
        try:
            await _unless(ending, poller, chats.refused)
        finally:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
            await chats.close(grace=settings.grace)


@contextlib.contextmanager
def until_signal() -> Iterator[asyncio.Event]:
    """Gives an event that SIGINT and SIGTERM set."""
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ending.set)
    yield ending


async def _unless(ending: asyncio.Event, *works: "asyncio.Future[Any]") -> bool:
    """Waits for the first of several; False, and they are cancelled, when `ending` was set before."""
    end = asyncio.ensure_future(ending.wait())
    try:
        done, _ = await asyncio.wait({end, *works}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        for work in works:
            work.cancel()
        raise
    finally:
        end.cancel()
    if end in done:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        return False
    for work in done:
        work.result()
    return True


async def _introduce(bot: Bot, server: Server, url: str) -> int:
    """Waits until the Bot API and the server are there; returns how many characters a turn may have."""
    me = await _me(bot)
    menu = [MenuEntry(command=command.name, description=command.help[:256]) for command in COMMANDS]
    try:
        await bot.set_my_commands(menu, request_timeout=TIMEOUT)
    except (TelegramAPIError, ClientDecodeError) as error:
        LOG.warning("the menu of commands is not shown: %s", type(error).__name__)
    about = await _about(server, url)
    LOG.info("@%s answers with %s", me.username, about.get("title") or about.get("model") or "a model")
    return int((about.get("limits") or {}).get("turn_chars") or CHARACTERS)


async def _me(bot: Bot) -> User:
    waits = backoff()
    while True:
        try:
            return await bot.me()
        except (TelegramUnauthorizedError, TelegramNotFound):
            raise TokenRefused(REFUSED) from None
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)
        except (TelegramAPIError, ClientDecodeError) as error:
            LOG.warning("the Bot API does not answer: %s", type(error).__name__)
            await waits.asleep()


async def _about(server: Server, url: str) -> dict[str, Any]:
    waits = backoff()
    while True:
        try:
            about: dict[str, Any] = await server.ask("GET", "/about")
        except ServerUnavailable as error:
            if error.status in (401, 403):
                raise ValueError(
                    f"{url} lets nobody in without its key, in $CONVMODEL_API_KEY; it says: {error}"
                ) from None
            LOG.warning("%s does not answer: %s", url, error)
            await waits.asleep()
        except Refused as error:
            raise ValueError(f"{url} is no convmodel server, or of another version: {error}") from None
        else:
            if not about.get("conversations"):
                raise ValueError(f"{url} keeps no conversations; the bot needs a server that does")
            return about


@contextlib.contextmanager
def single_instance_lock(store: str) -> Iterator[None]:
    """Sees to it that no other bot works on a SQLite store: both would send what is waiting there.

    The lock ends with the process. With PostgreSQL it is for whoever starts the bots.
    """
    if store.startswith("postgresql"):
        yield
        return
    path = Path(store.removeprefix("sqlite:///") + ".bot")
    try:
        path.touch()
    except OSError as error:
        raise ValueError(f"{path}: cannot be opened: {error.strerror}") from None
    with file_lock(path, busy=f"{store}: another bot works with it; end that one, or give another --store"):
        yield
