"""The bot between a fake Bot API and a real server, for a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from convmodel.serving.store import Store
from convmodel.serving.telegram.bot import BotSettings, run_bot
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.served import Served

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a test, which must not hang."""
    return asyncio.run(asyncio.wait_for(work, 30))


@dataclass
class World:
    """Who talks to whom.

    Args:
        folder: of the bot's store.
        settings: of the bot, where they are not the usual ones of a test.
    """

    api: FakeApi
    server: Served
    folder: Path
    settings: dict[str, Any]

    @contextlib.asynccontextmanager
    async def bot(self, *, token: str = TOKEN) -> AsyncIterator[asyncio.Task[None]]:
        """A bot that runs meanwhile."""
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
        """Says something, and waits for the one message that answers it."""
        count = len(self.api.texts(chat))
        await self.api.say(text, chat=chat, **more)
        [answer] = (await self.api.until(count + 1, chat=chat))[count:]
        return answer


def bot_settings(api: str, server: str, **others: Any) -> BotSettings:
    """A bot in a hurry."""
    hurry = {"poll_seconds": 2, "gap": 0.0, "group_gap": 0.0, "per_second": 1000.0}
    return BotSettings(url=server, api=api, **{**hurry, **others})


@contextlib.asynccontextmanager
async def world(folder: Path, *, seconds: float = 0.0, **settings: Any) -> AsyncIterator[World]:
    """A Bot API and a server, without a bot yet."""
    async with FakeApi() as api, Served(folder, seconds=seconds) as server:
        yield World(api, server, folder, settings)


@contextlib.asynccontextmanager
async def talk(folder: Path, *, seconds: float = 0.0, **settings: Any) -> AsyncIterator[World]:
    """A bot with whom one can talk."""
    async with world(folder, seconds=seconds, **settings) as everybody, everybody.bot():
        yield everybody
