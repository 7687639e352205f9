"""The bot between a fake Bot API and a real server, for a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from convmodel.serving.store import Store
from convmodel.serving.telegram.bot import BotSettings, run_bot
from convmodel.serving.telegram.updates import UpdateRequest
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.served import Served

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test with a time limit."""
    return asyncio.run(asyncio.wait_for(work, 30))


@dataclass
class World:
    """A Bot API and a server, for a bot between them.

    Args:
        folder: folder of the bot's store.
        settings: settings of the bot that differ from those of `bot_settings`.
    """

    api: FakeApi
    server: Served
    folder: Path
    settings: dict[str, Any]

    @contextlib.asynccontextmanager
    async def bot(self, *, token: str = TOKEN) -> AsyncIterator[asyncio.Task[None]]:
        """Run a bot."""
        ending = asyncio.Event()
        with Store(f"sqlite:///{self.folder / 'bot.db'}") as store:
            settings = bot_settings(self.api.url, self.server.url, **self.settings)
            work = asyncio.create_task(run_bot(token, settings, store, ending=ending))
            try:
                yield work
            finally:
                ending.set()
                await work

    async def ask(self, text: str, *, chat: int = 7, **more: Any) -> str:
        """Send a message, and wait for the one message that answers it."""
        count = len(self.api.texts(chat))
        await self.api.say(text, chat=chat, **more)
        [answer] = (await self.api.until(count + 1, chat=chat))[count:]
        return answer


def bot_settings(api: str, server: str, **others: Any) -> BotSettings:
    """Return settings without waits."""
    defaults = {"poll_seconds": 2, "gap": 0.0, "group_gap": 0.0, "per_second": 1000.0}
    return BotSettings(url=server, api=api, **{**defaults, **others})


@contextlib.asynccontextmanager
async def world(folder: Path, *, seconds: float = 0.0, **settings: Any) -> AsyncIterator[World]:
    """Run a Bot API and a server, without a bot yet."""
    async with FakeApi() as api, Served(folder, seconds=seconds) as server:
        yield World(api, server, folder, settings)


@contextlib.asynccontextmanager
async def talk(folder: Path, *, seconds: float = 0.0, **settings: Any) -> AsyncIterator[World]:
    """Run a bot between a Bot API and a server."""
    async with world(folder, seconds=seconds, **settings) as w, w.bot():
        yield w


def say(text: str, *, chat: int = 7, message: int = 1) -> UpdateRequest:
    """Return the request of a turn."""
    return UpdateRequest("say", chat, text, message=message)
