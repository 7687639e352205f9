"""Asynchronous HTTP client of a convmodel server, with retries."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp

from convmodel.serving.telegram.rate_limit import backoff

LOG = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICTS = {"conflict": 5, "running": 30, "idempotency": 30}
"""Number of retries by the error code of a response 409.

"conflict": the conversation was changed concurrently. The others: an earlier request is still in progress; there are
many retries, since a server may notice late that a client has disconnected.
"""

FAULTS = 2
"""Number of retries after an internal error of the server."""

PATIENCE = 20.0
"""Seconds after which the user gets a message that the reply takes longer than usual."""

SILENCE = 60.0
"""Timeout in seconds for reading data from the server, which sends a keep-alive comment every 15 seconds."""


class ServerUnavailable(Exception):
    """The server cannot be reached or is overloaded; the request can be repeated later.

    Args:
        message: reason, for the log.
        seconds: delay from the Retry-After header; None without this header.
        status: HTTP status; None if there was no response.
    """

    def __init__(self, message: str, *, seconds: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.status = status


class Refused(Exception):
    """The server, or a command of the bot, rejects a request.

    Args:
        status: HTTP status; 500 and above for an error of the server.
        message: message for the user, with the remedy.
        code: error code of the server's API.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def user_message(self, fault: str) -> str:
        """Return the message for the user: `fault` for an error of the server, whose details are not shown."""
        return fault if self.status >= 500 else str(self)


class ServerClient:
    """HTTP client of a convmodel server.

    Args:
        session: the session of aiohttp, which the caller closes.
        url: base URL, such as http://127.0.0.1:8000
        key: API key; None if the server requires none.
        at_once: maximum number of concurrent requests; further requests wait.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, *, key: str | None = None, at_once: int = 64) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._slots = asyncio.Semaphore(at_once)

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send a request like `ask_once`, and repeat it as `retry_with_backoff` does."""
        return await retry_with_backoff(lambda: self.ask_once(method, path, body, key=key))

    async def ask_once(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send a request without retries, and return the JSON object of the response; None for an empty response.

        Args:
            method: HTTP method.
            path: path below the base URL.
            body: JSON body; None for no body.
            key: idempotency key; None for no key.

        Raises:
            ServerUnavailable: if the server cannot be reached or is overloaded.
            Refused: for any other error status.
        """
        async with self._request(method, path, body, key) as response:
            content = await response.read()
            return _object(content) if content else None

    async def reply(
        self, path: str, body: Mapping[str, Any], *, key: str, piece: Callable[[str], None]
    ) -> dict[str, Any]:
        """Request a reply without retries, read its stream, and return the data of the event `reply`.

        Args:
            path: path below the base URL.
            body: JSON body; the field `stream` is added.
            key: idempotency key; the server executes requests with the same key and body once.
            piece: function that is called with each piece of the reply's text.

        Raises:
            ServerUnavailable: if the server cannot be reached or is overloaded, or the stream ends early.
            Refused: for any other error.
        """
        async with self._request("POST", path, {**body, "stream": True}, key) as response:
            if response.content_type != "text/event-stream":
                return _object(await response.read())
            async for name, data in _events(response.content.iter_any()):
                if name == "piece":
                    piece(str(data.get("text", "")))
                elif name == "reply":
                    return data
                elif name == "error":
                    raise _error(500, data)
        raise ServerUnavailable("the server's stream ended before the reply did")

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Any, key: str | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
        url = f"{self._url}{path}"
        try:
            async with (
                self._slots,
                self._session.request(method, url, json=body, headers=headers, timeout=timeout) as response,
            ):
                await _check(response)
                yield response
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnavailable(type(error).__name__) from None


async def retry_with_backoff(
    call: Callable[[], Awaitable[T]],
    *,
    longer: Callable[[], Awaitable[None]] | None = None,
    conflicts: Mapping[str, int] = CONFLICTS,
) -> T:
    """Call a function until it succeeds, with exponential backoff, and return its result.

    There is no limit of retries while the server is unavailable.

    Args:
        call: function that sends one request.
        longer: function that is called once, after a failure when `PATIENCE` seconds have passed.
        conflicts: number of retries by the error code of a conflict.

    Raises:
        Refused: if the server rejects the request and no retries are left for the error code.
    """
    waits = backoff()
    loop = asyncio.get_running_loop()
    began = loop.time()
    left = {**conflicts, "fault": FAULTS}
    while True:
        try:
            return await call()
        except ServerUnavailable as error:
            LOG.warning("retrying the request to the server later: %s", error)
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


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        body = json.loads(await response.read())
    except ValueError:
        body = {}
    error = _error(response.status, body)
    if response.status in (401, 403, 429, 502, 503):
        delay = response.headers.get("Retry-After", "")  # seconds, or a date
        seconds = min(float(delay), 300.0) if delay.isdecimal() else None
        raise ServerUnavailable(str(error), seconds=seconds, status=response.status)
    raise error


def _error(status: int, body: Any) -> Refused:
    """Return the exception for the body of an error; raise ServerUnavailable if the error is temporary.

    The error event of a stream has no HTTP status; it is called with status 500, and its `type` decides.
    """
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error}
    if error.get("type") == "rate_limit_error" and status == 500:
        raise ServerUnavailable("the server is overloaded")
    if error.get("type") == "invalid_request_error" and status == 500:
        status = 400
    code = error.get("code")
    return Refused(status, str(error.get("message") or f"status {status}"), code=None if code is None else str(code))


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        raise ServerUnavailable("the server's response is not JSON") from None
    if not isinstance(value, dict):
        raise ServerUnavailable("the server's response is not a JSON object")
    return value


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the JSON object of each server-sent event in a stream of bytes."""
    rest = b""
    async for chunk in chunks:
        *blocks, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"event" in fields and b"data" in fields:
                yield fields[b"event"].decode(), _object(fields[b"data"])
