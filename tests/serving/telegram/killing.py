"""A bot in a process of its own, which is killed at random moments while people write to it."""

import asyncio
import logging
import multiprocessing
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from convmodel.serving.store import Store
from convmodel.serving.telegram import rate_limit as waiting
from convmodel.serving.telegram.bot import BotSettings, run_bot
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.harness import bot_settings
from tests.serving.telegram.served import Served

CHATS = (7, 8, 9)

PROCESSES = multiprocessing.get_context("forkserver")
"""Its processes start from one that has everything imported, in a tenth of the time."""

PROCESSES.set_forkserver_preload([__name__])


def bot(settings: BotSettings, store: str) -> None:
    """Runs until it is killed."""
    logging.disable()
    waiting.FIRST = 0.05

    async def work() -> None:
        with Store(store) as opened:
            await run_bot(TOKEN, settings, opened, ending=asyncio.Event())

    asyncio.run(work())


@dataclass(frozen=True)
class Found:
    """What came of a run.

    Args:
        said: how often each message stands in a conversation.
        turns: of each conversation.
        sent: of each chat.
        persona: that one chat put together, a sentence a command.
        repeated: messages of the bot that a chat got more than once.
    """

    said: Counter[str]
    turns: list[list[str]]
    sent: dict[int, list[str]]
    persona: tuple[str, ...]
    repeated: int


async def under_kills(folder: Path, *, seed: int, kills: int, messages: int) -> Found:
    """Kills the bot so often while so many messages come, and then lets it do what is left."""
    source = random.Random(seed)
    async with FakeApi() as api, Served(folder, seconds=0.01) as server:
        settings, store = bot_settings(api.url, server.url), f"sqlite:///{folder / 'bot.db'}"
        writing = asyncio.create_task(_write(api, source, messages))
        for _ in range(kills):
            process = PROCESSES.Process(target=bot, args=(settings, store), daemon=True)
            await asyncio.to_thread(process.start)
            await asyncio.sleep(0.05 + source.random() * 0.6)  # the start, which takes 0.1 s, is interrupted too
            process.kill()
            await asyncio.to_thread(process.join)
        process = PROCESSES.Process(target=bot, args=(settings, store), daemon=True)
        await asyncio.to_thread(process.start)
        try:
            await writing
            await api.until_confirmed()
            for chat in CHATS:
                await _until_last(api, chat)
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
        return await _found(api, server)


async def _write(api: FakeApi, source: random.Random, messages: int) -> None:
    for number in range(messages):
        chat = source.choice(CHATS)
        if chat == 9:
            await api.say(f"/persona add sentence {number}", chat=chat)
        else:
            await api.say(f"<{number}> " + "word " * source.randint(0, 12), chat=chat)
        await asyncio.sleep(source.random() * 0.15)
    for chat in CHATS:
        await api.say("/help", chat=chat)


async def _until_last(api: FakeApi, chat: int) -> None:
    async with api.changed:
        there = api.changed.wait_for(lambda: any(text.startswith("/start") for text in api.texts(chat)))
        await asyncio.wait_for(there, 20)


async def _found(api: FakeApi, server: Served) -> Found:
    conversations = await server.conversations()
    turns = [[turn.text for turn in one.turns] for one in conversations]
    said = Counter(line.split(" ")[0] for one in turns for turn in one[::2] for line in turn.split("\n"))
    sent = {chat: [text for text in api.texts(chat) if not text.startswith("/start")] for chat in CHATS}
    personas = [one.about.persona for one in conversations if one.about.persona]
    repeated = sum(count - 1 for texts in sent.values() for count in Counter(texts).values())
    return Found(said, turns, sent, personas[0] if personas else (), repeated)
