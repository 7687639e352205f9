"""Minutes in, what became of a server under full load out: its memory, its statuses, and sessions that are stuck.

Clients of every kind share it: those who wait for their reply, those who leave in the middle of it, those who send
garbage, those who send too much, and those who keep conversations on the server.
"""

import argparse
import asyncio
import io
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.common import (
    add_common_options,
    add_data_option,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from benchmarks.load import messages
from benchmarks.serving import OURS, OURS_INT8, Server, make_model, real_contexts, serving

SETTLED = 300.0
"""Seconds after which memory is compared with the end's."""

GROWTH = 0.05
"""The share by which memory may then grow at most."""

WAITING = 16
"""Requests that may wait: fewer than come, so that some are told to come again."""

EVERY = 5.0
"""Seconds between two looks at the memory."""


@dataclass
class Seen:
    """What clients saw.

    Args:
        statuses: how often each came, by kind of client; "gone" for a connection that broke.
        memory: seconds and bytes.
        conversations: that were left on the server.
    """

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)

    @property
    def server_errors(self) -> int:
        """How many statuses from 500 came, but for 503 of a server that ends."""
        return sum(count for (_, status), count in self.statuses.items() if status.startswith("5"))

    def bytes_at(self, seconds: float) -> float:
        """The mean of a minute's looks around a moment."""
        near = [held for when, held in self.memory if abs(when - seconds) <= 30]
        return sum(near) / max(1, len(near))


class Client:
    """One who asks again and again, in one way.

    Args:
        session: of HTTP.
        server: that is asked.
        contexts: what is talked about.
        source: of chance.
        seen: what came of it.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server,
        contexts: Sequence[list[str]],
        source: random.Random,
        seen: Seen,
    ) -> None:
        self._session, self._url, self._model = session, server.url, server.model
        self._contexts, self._source, self._seen = contexts, source, seen

    def _body(self, **more: Any) -> dict[str, Any]:
        said = messages(self._source.choice(self._contexts))
        return {"model": self._model, "messages": said, "max_tokens": self._source.randint(4, 40)} | more

    async def _send(self, kind: str, path: str, *, method: str = "POST", **how: Any) -> Any:
        """The status is noted; the JSON that came is returned, or None."""
        async with self._session.request(method, self._url + path, **how) as response:
            text = await response.text()
            self._seen.statuses[kind, str(response.status)] += 1
            if response.status == 429:
                await asyncio.sleep(0.2)
            return json.loads(text) if response.content_type == "application/json" else None

    async def wait(self) -> None:
        """Waits for the whole reply, streamed or not."""
        await self._send("wait", "/v1/chat/completions", json=self._body(stream=self._source.random() < 0.5))

    async def leave(self) -> None:
        """Leaves in the middle of the reply, or before it begins."""
        patience = self._source.choice((0.01, 0.05, 0.2, 0.5))
        try:
            async with asyncio.timeout(patience):
                await self._send("leave", "/v1/chat/completions", json=self._body(stream=True, max_tokens=200))
        except TimeoutError:
            self._seen.statuses["leave", "left"] += 1

    async def garbage(self) -> None:
        """Sends what is no request."""
        source = self._source
        noise = source.randbytes(source.randint(0, 2_000))
        bodies: list[dict[str, Any]] = [
            {"data": noise},
            {"data": noise, "headers": {"Content-Type": "application/json"}},
            {"data": b"[" * 50_000, "headers": {"Content-Type": "application/json"}},
            {"data": b'{"messages": NaN}', "headers": {"Content-Type": "application/json"}},
            {"json": self._body(temperature="hot")},
            {"json": {"messages": [{"role": "user", "content": source.choice((None, 3, [], {}, "", " "))}]}},
            {"json": source.choice((None, 1, [], "text"))},
        ]
        path = source.choice(("/v1/chat/completions", "/replies", "/conversations", "/conversations/x/turns"))
        await self._send("garbage", path, **source.choice(bodies))

    async def too_much(self) -> None:
        """Asks for more than is allowed."""
        bodies: list[Callable[[], dict[str, Any]]] = [
            lambda: self._body(n=10_000),
            lambda: self._body(max_tokens=10**9),
            lambda: self._body(stop=["x"] * 1_000),
            lambda: self._body(messages=messages(["a"] * 100_001)),
            lambda: self._body(messages=messages(["word " * 1_000_000])),
        ]
        with suppress(aiohttp.ClientOSError):  # it may hang up before all of a body was sent
            large = io.BytesIO(json.dumps(self._source.choice(bodies)()).encode())
            how: dict[str, Any] = {"data": large, "headers": {"Content-Type": "application/json"}}
            await self._send("too much", "/v1/chat/completions", **how)

    async def talk(self) -> None:
        """Keeps a conversation: a few turns, one made anew, one taken back; some are deleted."""
        turns = self._source.choice(self._contexts)
        made = await self._send("talk", "/conversations", json={"options": {"max_new_tokens": 20}})
        path = f"/conversations/{made['id']}"
        for text in turns[:3]:
            await self._send("talk", f"{path}/turns", json={"text": text, "join": True})
        await self._send("talk", f"{path}/retry", json={"stream": True})
        await self._send("talk", f"{path}/undo", json={})
        if self._source.random() < 0.9:
            await self._send("talk", path, method="DELETE")
        else:
            self._seen.conversations.append(path)

    def kinds(self) -> list[Callable[[], Awaitable[None]]]:
        """What clients do, and how often."""
        return [*[self.wait] * 4, *[self.leave] * 2, self.garbage, self.too_much, *[self.talk] * 2]


async def soak(server: Server, contexts: Sequence[list[str]], *, clients: int, seconds: float) -> Seen:
    """Runs clients for so long, and then asks every conversation that was left for one reply more."""
    seen, began = Seen(), time.monotonic()
    patience = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=patience) as session:

        async def work(number: int) -> None:
            client = Client(session, server, contexts, random.Random(number), seen)
            kinds = client.kinds()
            act = kinds[number % len(kinds)]
            while time.monotonic() < began + seconds:
                try:
                    await act()
                except (aiohttp.ClientError, TypeError) as error:  # TypeError: nothing was made, as it was full
                    seen.statuses[act.__name__.replace("_", " "), f"gone: {type(error).__name__}"] += 1

        async def look() -> None:
            while time.monotonic() < began + seconds:
                seen.memory.append((time.monotonic() - began, server.held))
                await asyncio.sleep(EVERY)

        await asyncio.gather(look(), *(work(number) for number in range(clients)))
    async with aiohttp.ClientSession(timeout=patience) as session:  # on no connection that the server is just closing
        last = Client(session, server, contexts, random.Random(0), seen)
        for path in seen.conversations[-200:]:
            await last._send("at the end", f"{path}/turns", json={"text": "Are you there?", "join": True})
    return seen


def main(arguments: list[str] | None = None) -> None:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser, name="soak", rounds=1)
    add_data_option(parser)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--contender", choices=[OURS, OURS_INT8], default=OURS)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.minutes, options.clients = 0.03, 10
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as folder:
        facts = machine(options.threads)
        contexts = real_contexts(options)
        model = make_model("4 x 256", options, Path(folder))
        ours = ["--store", f"sqlite:///{folder}/soak.db", "--max_waiting", str(WAITING)]
        with serving(options.contender, model, ours=ours) as server:
            seconds = 60 * options.minutes
            seen = asyncio.run(soak(server, contexts, clients=options.clients, seconds=seconds))
            still = server.process.poll() is None
    report(options, facts, seen, still)


def report(options: argparse.Namespace, facts: dict[str, Any], seen: Seen, still: bool) -> None:
    """Prints what was seen, writes it, and ends with 1 where the server did not keep its promises."""
    kinds = sorted({kind for kind, _ in seen.statuses})
    statuses = sorted({status for _, status in seen.statuses})
    rows = [[kind, *(f"{seen.statuses[kind, status]:,}" for status in statuses)] for kind in kinds]
    print(table(["clients who", *statuses], rows))
    end = 60 * options.minutes
    early, late = seen.bytes_at(min(SETTLED, end / 2)), seen.bytes_at(end)
    growth = late / early - 1
    stuck = sum(n for (kind, status), n in seen.statuses.items() if kind == "at the end" and status != "200")
    print(f"\nmemory: {early / 2**20:,.1f} MiB early, {late / 2**20:,.1f} MiB at the end, {growth:+.1%}")
    print(f"5xx: {seen.server_errors}; conversations that took no further turn: {stuck}; still running: {still}")
    print(f"\n{described(facts)}")
    measured = {
        "statuses": {f"{kind}: {status}": count for (kind, status), count in sorted(seen.statuses.items())},
        "memory": seen.memory,
        "growth": growth,
        "server_errors": seen.server_errors,
        "stuck": stuck,
    }
    write_report(options.output, facts, ratios=[], measured=measured)
    if seen.server_errors or stuck or not still or (growth > GROWTH and not options.smoke):
        tell("the server did not keep its promises")
        sys.exit(1)


if __name__ == "__main__":
    main()
