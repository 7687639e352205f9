"""A bot in a process that is killed at random moments while people write to it."""

import asyncio
import logging
import multiprocessing
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from convmodel.serving.store import Store
from convmodel.serving.telegram import rate_limit
from convmodel.serving.telegram.bot import BotSettings, run_bot
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.harness import bot_settings
from tests.serving.telegram.served import Served

CHATS = (7, 8, 9)

PROCESSES = multiprocessing.get_context("forkserver")
"""Processes fork from one that has imported everything, which takes a tenth of the time."""

PROCESSES.set_forkserver_preload([__name__])


def bot(settings: BotSettings, store: str) -> None:
    """Run until killed."""
    logging.disable()
    rate_limit.FIRST = 0.05

    async def work() -> None:
        with Store(store) as opened:
            await run_bot(TOKEN, settings, opened, ending=asyncio.Event())

    asyncio.run(work())


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Args:
        said: number of occurrences of each message in the conversations.
        turns: turns of each conversation.
        sent: messages that each chat received.
        persona: persona that one chat put together, a sentence per command.
        repeated: number of messages of the bot that a chat received again.
    """

    said: Counter[str]
    turns: list[list[str]]
    sent: dict[int, list[str]]
    persona: tuple[str, ...]
    repeated: int


async def under_kills(folder: Path, *, seed: int, kills: int, messages: int) -> Outcome:
    """Kill the bot a number of times while messages arrive, then let it finish the rest."""
    source = random.Random(seed)
    async with FakeApi() as api, Served(folder, seconds=0.01) as server:
        settings = bot_settings(api.url, server.url)
        store = f"sqlite:///{folder / 'bot.db'}"
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
        return await _outcome(api, server)


async def _write(api: FakeApi, source: random.Random, messages: int) -> None:
    for index in range(messages):
        chat = source.choice(CHATS)
        if chat == 9:
            await api.say(f"/persona add sentence {index}", chat=chat)
        else:
            await api.say(f"<{index}> " + "word " * source.randint(0, 12), chat=chat)
        await asyncio.sleep(source.random() * 0.15)
    for chat in CHATS:
        await api.say("/help", chat=chat)


async def _until_last(api: FakeApi, chat: int) -> None:
    async with api.changed:
        arrived = api.changed.wait_for(lambda: any(text.startswith("/start") for text in api.texts(chat)))
        await asyncio.wait_for(arrived, 20)


async def _outcome(api: FakeApi, server: Served) -> Outcome:
    conversations = await server.conversations()
    turns = [[turn.text for turn in conversation.turns] for conversation in conversations]
    said = Counter(line.split(" ")[0] for texts in turns for turn in texts[::2] for line in turn.split("\n"))
    sent = {chat: [text for text in api.texts(chat) if not text.startswith("/start")] for chat in CHATS}
    personas = [conversation.about.persona for conversation in conversations if conversation.about.persona]
    repeated = sum(count - 1 for texts in sent.values() for count in Counter(texts).values())
    return Outcome(said, turns, sent, personas[0] if personas else (), repeated)
