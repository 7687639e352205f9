import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from starlette.types import Message

from convmodel.serving.sse import STILL_THERE, EventStream


class Client:
    """What a server calls on behalf of one who reads a stream.

    Args:
        takes: waits until a chunk, whose number it is given, is taken.
        leaves: seconds until it leaves; None is never.
    """

    def __init__(
        self, takes: Callable[[int], Coroutine[Any, Any, None]] | None = None, leaves: float | None = None
    ) -> None:
        self._takes, self._leaves = takes, leaves
        self.chunks: list[bytes] = []
        self.over = False

    async def receive(self) -> Message:
        if self._leaves is None:
            await never()
        else:
            await asyncio.sleep(self._leaves)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            if self._takes is not None:
                await self._takes(len(self.chunks))
            self.chunks.append(message["body"])
            self.over = not message["more_body"]


class Events:
    """Chunks, and pauses of so many seconds between them."""

    def __init__(self, *plan: bytes | float) -> None:
        self._plan = plan
        self.closed = False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for step in self._plan:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed = True


def stream(client: Client, events: Events, **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await EventStream(events(), **options)({}, client.receive, client.send)

    asyncio.run(run())
    assert events.closed


async def never(number: int = 0) -> None:
    await asyncio.Event().wait()


def test_chunks_are_sent_in_order() -> None:
    client = Client()
    stream(client, Events(b"a", b"b", 0.01, b"c"))
    assert client.chunks == [b"a", b"b", b"c", b""] and client.over


def test_comments_are_sent_only_during_silence() -> None:
    often: list[bytes | float] = [0.02, b"c"] * 10
    client = Client()
    stream(client, Events(b"a", 0.5, b"b", *often, 0.25), keep_alive=0.1)
    text = [chunk for chunk in client.chunks if chunk != STILL_THERE]
    assert text == [b"a", b"b", *[b"c"] * 10, b""] and client.over
    first, last = client.chunks.index(b"b"), len(client.chunks) - client.chunks[::-1].index(b"c")
    assert 2 <= client.chunks[:first].count(STILL_THERE) <= 5
    assert client.chunks[first:last].count(STILL_THERE) <= 3  # none on a machine that keeps time
    assert STILL_THERE in client.chunks[last:]


def test_no_comments_are_sent_with_a_keep_alive_of_0() -> None:
    client = Client()
    stream(client, Events(b"a", 0.2, b"b"), keep_alive=0.0)
    assert client.chunks == [b"a", b"b", b""]


def test_a_disconnect_closes_the_generator() -> None:
    client = Client(leaves=0.05)
    stream(client, Events(b"a", 60.0, b"b"))
    assert client.chunks == [b"a"] and not client.over


@pytest.mark.parametrize("keep_alive", [0.0, 0.01, 60.0])
def test_a_client_that_does_not_read_is_dropped(keep_alive: float) -> None:
    client = Client(takes=never)
    stream(client, Events(b"a", b"b"), keep_alive=keep_alive, patience=0.1)
    assert client.chunks == []


def test_a_client_that_reads_no_comments_is_dropped() -> None:
    async def only_the_first(number: int) -> None:
        if number:
            await never(number)

    client = Client(takes=only_the_first)
    stream(client, Events(b"a", 60.0), keep_alive=0.05, patience=0.1)
    assert client.chunks == [b"a"]


def test_a_slow_client_gets_everything() -> None:
    async def slowly(number: int) -> None:
        await asyncio.sleep(0.05)

    client = Client(takes=slowly)
    stream(client, Events(b"a", b"b", b"c", b"d", b"e"), patience=0.15)
    assert client.chunks[-1] == b"" and len(client.chunks) == 6


def test_an_error_of_the_generator_is_raised() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise LookupError("gone")

    client = Client()
    with pytest.raises(LookupError, match="gone"):
        asyncio.run(EventStream(broken())({}, client.receive, client.send))
    assert client.chunks == [b"a"]
