"""Contexts and the address of a server in, the moments of its streamed replies out: a load of so many clients at once.

It is a process of its own, `python -m benchmarks.load`, so that it takes nothing from the server but processor time.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

PATIENCE = 600.0
"""Seconds after which a reply is given up."""


@dataclass(frozen=True)
class Load:
    """What is asked of a server.

    Args:
        url: of its chat completions.
        body: of every request, without its messages.
        contexts: turns, the last of which is replied to; clients take them in turn.
        clients: who ask at once, each again as soon as its reply is there.
        requests: how many in all.
    """

    url: str
    body: dict[str, Any]
    contexts: list[list[str]]
    clients: int
    requests: int


@dataclass(frozen=True)
class Streamed:
    """A reply as it came: seconds since the load began, and the tokens that the server says it wrote."""

    asked: float
    first: float
    ended: float
    tokens: int


async def run(load: Load) -> list[Streamed]:
    """Every reply of a load.

    Raises:
        RuntimeError: when the server refuses a request, or ends a reply without its usage.
    """
    left = iter(range(load.requests))
    began = time.perf_counter()
    found: list[Streamed] = []
    connections = aiohttp.TCPConnector(limit=0)
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connections, timeout=patience) as session:

        async def client() -> None:
            for number in left:
                found.append(await _reply(session, load, number, began))

        await asyncio.gather(*(client() for _ in range(load.clients)))
    return found


async def _reply(session: aiohttp.ClientSession, load: Load, number: int, began: float) -> Streamed:
    body = load.body | {"messages": messages(load.contexts[number % len(load.contexts)]), "stream": True}
    asked = time.perf_counter()
    first = 0.0
    tokens = 0
    async with session.post(load.url, json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {(await response.text())[:500]}")
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(line.decode())
            if not first and any(choice["delta"].get("content") for choice in chunk["choices"]):
                first = time.perf_counter()
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    ended = time.perf_counter()
    if not tokens:
        raise RuntimeError(f"{load.url}: a reply ended without saying how many tokens it has")
    return Streamed(asked - began, (first or ended) - began, ended - began, tokens)


def messages(context: Sequence[str]) -> list[dict[str, str]]:
    """Return turns as OpenAI's messages, the last of which is the user's."""
    speakers = ("user", "assistant")
    return [{"role": speakers[(len(context) - 1 - place) % 2], "content": turn} for place, turn in enumerate(context)]


def main() -> None:
    """Read a Load as JSON from the standard input, and write its replies as JSON to the standard output."""
    load = Load(**json.load(sys.stdin))
    json.dump([asdict(each) for each in asyncio.run(run(load))], sys.stdout)


if __name__ == "__main__":
    main()
