"""The pace of messages."""

import itertools
from pathlib import Path

from tests.serving.telegram.harness import run, talk


def test_messages_respect_the_rate_limits(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path, gap=0.2, per_second=20.0) as w:
            w.server.words = ["x" * 4096, "y" * 4096, "z"]
            await w.api.say("Hello")
            await w.api.until(3)
            times = [call.time for call in w.api.of("sendMessage")]
            assert all(later - before > 0.15 for before, later in itertools.pairwise(times))
            w.server.words = None
            for chat in range(10, 20):
                await w.api.say("Hello", chat=chat)
            await w.api.until(13, chat=None)
            times = [call.time for call in w.api.of("sendMessage")][3:]
            assert times[-1] - times[0] > 0.4

    run(work())
