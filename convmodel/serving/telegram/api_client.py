"""What is asked of a convmodel server in, its answers out, over HTTP."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp

from convmodel.serving.telegram.errors import Refused, ServerUnavailable
from convmodel.serving.telegram.rate_limit import backoff

LOG = logging.getLogger(__name__)

T = TypeVar("T")

KEY = "Idempotency-Key"

CONFLICTS = {"conflict": 5, "running": 30, "idempotency": 30}
"""How often to ask again where a conversation was changed at that moment, or is busy with what was asked before.

A server may learn late that who asked has gone.
"""

FAULTS = 2
"""How often to ask again where something went wrong in the server."""

PATIENCE = 20.0
"""Seconds after which somebody is told that it takes longer."""

SILENCE = 60.0
"""Seconds without a byte after which a server is taken for gone; it says every 15 that it is there."""


class Server:
    """A server at an address.

    Args:
        session: makes the connections.
        url: such as http://127.0.0.1:8000
        key: that it wants, or None.
        at_once: requests at the same time; others wait.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, *, key: str | None = None, at_once: int = 64) -> None:
        self._session, self._url = session, url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._places = asyncio.Semaphore(at_once)

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Asks once, for an answer in one piece; None where there is nothing in it.

        Raises:
            Away, Refused: see there.
        """
        headers = {} if key is None else {KEY: key}
        async with self._places, _network(), self._request(method, path, body, headers) as response:
            await _check(response)
            content = await response.read()
            return _object(content) if content else None

    async def reply(
        self, path: str, body: Mapping[str, Any], *, key: str, piece: Callable[[str], None]
    ) -> dict[str, Any]:
        """Asks once for a reply and listens to it.

        Args:
            key: of idempotency; the same request with the same key is the same request.
            piece: is called with each piece of the reply.

        Raises:
            Away, Refused: see there.
        """
        headers = {KEY: key}
        async with self._places, _network(), self._request("POST", path, {**body, "stream": True}, headers) as response:
            await _check(response)
            if response.content_type != "text/event-stream":
                return _object(await response.read())
            async for name, data in _events(response.content.iter_any()):
                if name == "piece":
                    piece(str(data.get("text", "")))
                elif name == "reply":
                    return data
                elif name == "error":
                    raise _refusal(500, data)
        raise ServerUnavailable("the server's stream ended before the reply did")

    def _request(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        return self._session.request(
            method,
            f"{self._url}{path}",
            json=body,
            headers={**self._headers, **headers},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE),
        )


async def retry_with_backoff(
    call: Callable[[], Awaitable[T]],
    *,
    longer: Callable[[], Awaitable[None]] | None = None,
    conflicts: Mapping[str, int] = CONFLICTS,
) -> T:
    """Asks until there is an answer.

    Args:
        call: asks once.
        longer: is called once when it takes longer than `PATIENCE`.
        conflicts: how often to ask again for each code of a conflict.

    Raises:
        Refused: see there.
    """
    waits, loop = backoff(), asyncio.get_running_loop()
    began, left = loop.time(), {**conflicts, "fault": FAULTS}
    while True:
        try:
            return await call()
        except ServerUnavailable as error:
            LOG.warning("the server is asked again later: %s", error)
            await (waits.asleep() if error.seconds is None else asyncio.sleep(error.seconds))
        except Refused as error:
            case = "fault" if error.status >= 500 else error.code or ""
            if not left.get(case):
                raise
            left[case] -= 1
            await waits.asleep()
        if longer is not None and loop.time() - began > PATIENCE:
            await longer()
            longer = None


class _network:
    """Whatever breaks on the way to the server, as Away."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, aiohttp.ClientError | OSError | TimeoutError):
            raise ServerUnavailable(type(error).__name__) from None


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        body = json.loads(await response.read())
    except ValueError:
        body = {}
    told = _refusal(response.status, body)
    if response.status in (401, 403, 429, 502, 503):
        raise ServerUnavailable(
            told.message, seconds=_seconds(response.headers.get("Retry-After")), status=response.status
        )
    raise told


def _refusal(status: int, body: Any) -> Refused:
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error}
    if error.get("type") == "rate_limit_error" and status == 500:
        raise ServerUnavailable("the server has too much to do")
    if error.get("type") == "invalid_request_error" and status == 500:
        status = 400
    code = error.get("code")
    return Refused(status, str(error.get("message") or f"status {status}"), code=None if code is None else str(code))


def _seconds(text: str | None) -> float | None:
    """How long a Retry-After says; a date is as good as nothing."""
    return min(float(text), 300.0) if text is not None and text.isdecimal() else None


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        raise ServerUnavailable("the server's answer is no JSON") from None
    if not isinstance(found, dict):
        raise ServerUnavailable("the server's answer is no JSON object")
    return found


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The events of a stream of ours: a name and an object each."""
    rest = b""
    async for chunk in chunks:
        *blocks, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"event" in fields and b"data" in fields:
                yield fields[b"event"].decode(), _object(fields[b"data"])
