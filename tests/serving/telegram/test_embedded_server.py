"""The key of a server in the process of the bot."""

from pathlib import Path

import pytest

from convmodel.serving.telegram.embedded_server import own_key
from tests.serving.telegram.fake_api import FakeApi
from tests.serving.telegram.harness import World, run
from tests.serving.telegram.served import Served


def test_the_server_accepts_its_own_key_and_a_wrong_key_is_reported_at_once(tmp_path: Path) -> None:
    key, keys = own_key()

    async def work() -> None:
        async with FakeApi() as api, Served(tmp_path, keys=keys) as server:
            with pytest.raises(ValueError, match="requires an API key"):
                async with World(api, server, tmp_path, {"key": "cm-wrong"}).bot() as bot:
                    await bot
            w = World(api, server, tmp_path, {"key": key})
            async with w.bot():
                assert await w.ask("Hello") == "re: Hello"

    run(work())
