"""The Telegram bot: its settings, startup checks, and shutdown."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiogram import Bot, exceptions
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.types import BotCommand as MenuEntry
from aiogram.types import User
from aiogram.utils.token import TokenValidationError, validate_token

from convmodel.serving.store import Store
from convmodel.serving.telegram.api_client import Refused, ServerClient, ServerUnavailable
from convmodel.serving.telegram.commands import COMMANDS
from convmodel.serving.telegram.polling import Poller
from convmodel.serving.telegram.rate_limit import RateLimiter, backoff
from convmodel.serving.telegram.replies import BotContext
from convmodel.serving.telegram.sending import TIMEOUT, Sender, TokenRefused
from convmodel.serving.telegram.state import METADATA, BotState
from convmodel.serving.telegram.workers import ChatWorkers

LOG = logging.getLogger(__name__)

CHARACTERS = 20_000
"""Maximum number of characters of a turn that joins several messages, if the server does not report its limit."""


@dataclass(frozen=True)
class BotSettings:
    """Settings of a bot.

    Args:
        url: base URL of the convmodel server.
        key: API key of the server; None if it requires none.
        api: URL of a Bot API server; None uses Telegram's own server.
        names: whether turns in groups begin with the first names of their writers.
        poll_seconds: timeout of long polling.
        gap, group_gap, per_second: limits of the rate of messages; see `rate_limit.RateLimiter`.
        grace: seconds to wait at shutdown for tasks in progress.
    """

    url: str
    key: str | None = None
    api: str | None = None
    names: bool = False
    poll_seconds: int = 30
    gap: float = 1.0
    group_gap: float = 3.0
    per_second: float = 30.0
    grace: float = 15.0


def check_token(token: str | None) -> str:
    """Return a token if it is well-formed; otherwise raise ValueError, whose message does not contain the token."""
    if not token:
        raise ValueError("there is no token; put the one that @BotFather gave into $TELEGRAM_BOT_TOKEN")
    try:
        validate_token(token)
    except TokenValidationError:
        raise ValueError("$TELEGRAM_BOT_TOKEN is not a valid token; tokens look like 123456:ABC-DEF") from None
    return token


def check_address(url: str, *, what: str) -> str:
    """Return an HTTP or HTTPS URL without its trailing slash; raise ValueError for any other text.

    Args:
        what: noun in the message for the server at this URL.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or any(character in url for character in "{}?# \t\n"):
        raise ValueError(f"{url!r} is not the address of {what}; use one such as http://127.0.0.1:8000")
    return url.rstrip("/")


async def run_bot(token: str, settings: BotSettings, store: Store, *, ending: asyncio.Event) -> None:
    """Run a bot until `ending` is set, then finish the tasks in progress.

    The caller must have checked the token with `check_token`, and hold the `instance_lock` of the store.

    Args:
        token: the bot's token.
        settings: settings of the bot.
        store: store with the bot's state; closed by the caller.
        ending: event that ends the bot; see `signal_event`.

    Raises:
        TokenRefused: if the Bot API rejects the token.
        ValueError: if the server at `settings.url` is not a convmodel server that stores conversations, or needs a key.
    """
    running = asyncio.ensure_future(_run(token, settings, store))
    end = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({running, end}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        end.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    if not running.cancelled():
        running.result()


async def _run(token: str, settings: BotSettings, store: Store) -> None:
    """Run a bot until cancelled, then finish the tasks in progress; see `run_bot`."""
    async with contextlib.AsyncExitStack() as stack:
        api = PRODUCTION if settings.api is None else TelegramAPIServer.from_base(settings.api)
        bot = Bot(token, session=AiohttpSession(api=api))
        stack.push_async_callback(bot.session.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        server = ServerClient(session, settings.url, key=settings.key)
        state = BotState(store, bot=bot.id)
        await store.awrite(METADATA.create_all)
        characters = await _start(bot, server, settings.url)
        pace = RateLimiter(gap=settings.gap, group_gap=settings.group_gap, per_second=settings.per_second)
        chats = ChatWorkers(BotContext(state, server, Sender(bot, pace), characters))
        poller = Poller(bot, state, chats, seconds=settings.poll_seconds, names=settings.names)
        polling = asyncio.ensure_future(poller.run())
        try:
            await asyncio.gather(polling, chats.refused)
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            await chats.close(grace=settings.grace)


def signal_event() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    ending = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, ending.set)
    return ending


async def _start(bot: Bot, server: ServerClient, url: str) -> int:
    """Wait for the Bot API and the server, and set the bot's menu.

    Returns:
        The server's maximum number of characters of a turn.
    """
    me = await _me(bot)
    menu = [MenuEntry(command=command.name, description=command.help[:256]) for command in COMMANDS]
    try:
        await bot.set_my_commands(menu, request_timeout=TIMEOUT)
    except exceptions.AiogramError as error:
        LOG.warning("setting the menu of commands failed: %s", type(error).__name__)
    about = await _about(server, url)
    LOG.info("@%s answers with %s", me.username, about.get("title") or about.get("model") or "a model")
    return int((about.get("limits") or {}).get("turn_chars") or CHARACTERS)


async def _me(bot: Bot) -> User:
    waits = backoff()
    while True:
        try:
            return await bot.me()
        except (exceptions.TelegramUnauthorizedError, exceptions.TelegramNotFound):
            raise TokenRefused from None
        except exceptions.TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)
        except exceptions.AiogramError as error:
            LOG.warning("the Bot API does not answer: %s", type(error).__name__)
            await waits.asleep()


async def _about(server: ServerClient, url: str) -> dict[str, Any]:
    waits = backoff()
    while True:
        try:
            about: dict[str, Any] = await server.ask_once("GET", "/about")
        except ServerUnavailable as error:
            if error.status in (401, 403):
                raise ValueError(
                    f"{url} requires an API key, in $CONVMODEL_API_KEY; the server's message: {error}"
                ) from None
            LOG.warning("%s does not answer: %s", url, error)
            await waits.asleep()
        except Refused as error:
            raise ValueError(f"{url} is not a convmodel server, or has another version: {error}") from None
        else:
            if not about.get("conversations"):
                raise ValueError(f"{url} does not store conversations; the bot needs a server that does")
            return about
