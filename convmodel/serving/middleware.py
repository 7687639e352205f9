"""Every request in; those that may pass go on, with an id, an owner and a whole body, and all are counted."""

import asyncio
import logging
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convmodel.serving.errors import APIError, internal_error
from convmodel.serving.json_body import check_json
from convmodel.serving.logs import REQUEST_ID, log_defect
from convmodel.serving.service import Service

OPEN = ("/", "/health", "/ready", "/openapi.json", "/docs", "/favicon.ico")
OPEN_FOLDERS = ("/web/", "/docs/")
"""What is answered without a key: nothing of it is anybody's."""

KEYS_SECONDS = 1.0
"""How long what needs no key waits for keys to be read: whether they are needed decides which names are taken."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

logger = logging.getLogger(__name__)


class RequestMiddleware:
    """Middleware that lets requests in.

    Args:
        app: answers those that may pass.
        service: says who may.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passing = RequestContext(scope, send)
        REQUEST_ID.set(passing.id)
        try:
            await self._pass(passing, receive)
        except APIError as refusal:
            passing.refused = refusal.code
            await passing.refuse(refusal)
        except Exception as error:
            log_defect(logger, error, texts=self._service.settings.log_texts)
            passing.refused = "internal"
            await passing.refuse(internal_error())
        finally:
            self._count(passing)

    async def _pass(self, passing: "RequestContext", receive: Receive) -> None:
        settings, headers = self._service.settings, passing.headers
        if "\x00" in passing.scope["path"] or b"%00" in passing.scope.get("query_string", b""):
            raise APIError(400, "the address holds a NUL character; remove it", code="invalid_value")
        keys = self._service.keys
        if not keys.fresh:
            opened = is_public(passing.scope["path"])
            try:
                async with asyncio.timeout(KEYS_SECONDS if opened else None):
                    await asyncio.to_thread(keys.refresh)
            except (APIError, TimeoutError):
                if not opened:  # a server whose store is gone is alive
                    raise
        if not keys.required:
            self._check_names(headers)
        passing.scope["state"]["owner"] = ""
        if not is_public(passing.scope["path"]):
            owner = keys.owner(headers.get("authorization"))
            passing.scope["state"]["owner"] = passing.owner = owner
            self._service.rate.check(owner)
        try:
            async with asyncio.timeout(settings.body_seconds):
                body = await _body(headers, receive, settings.body_bytes)
        except TimeoutError:
            raise _close(408, f"the body did not come within {settings.body_seconds:g} seconds", "timeout") from None
        if body is None:  # the client has gone
            return
        if body:
            _check_kind(headers)
            check_json(body)
        await self._app(passing.scope, _again(body, receive), passing.send)

    def _check_names(self, headers: Headers) -> None:
        """Without keys a page elsewhere must not be able to talk to us: neither under a name of its own, nor ours."""
        hosts, origins = self._service.settings.hosts, self._service.settings.origins
        if not hosts:
            return
        if _name(f"//{headers.get('host', '')}") not in hosts:
            raise APIError(
                403, "the server is not to be called by this name; use localhost, or start it with keys", code="host"
            )
        origin = headers.get("origin")
        if origin is not None and _name(origin) not in hosts and not {origin, "*"} & {*origins}:
            raise APIError(403, "pages of this origin may not use the server; see --cors", code="origin")

    def _count(self, passing: "RequestContext") -> None:
        route, status = passing.route, passing.status
        seconds = time.perf_counter() - passing.began
        refused = passing.refused or passing.scope["state"].get("refused")
        if refused:
            self._service.metrics.refused(refused)
        method = passing.scope["method"] if passing.scope["method"] in METHODS else "OTHER"
        self._service.metrics.answered(method, route, status, seconds)
        logger.info(
            "%s %s %d %.3f s %s %s", method, route, status, seconds, passing.id, passing.owner or "-"
        )  # fmt: skip


class RequestContext:
    """A request on its way through the gate."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send = scope, send
        self.scope.setdefault("state", {})
        self.headers = Headers(scope=scope)
        self.id, self.began = secrets.token_hex(8), time.perf_counter()
        self.status = 499  # the client left before there was an answer
        self.owner = ""
        self.refused: str | None = None
        self._started = False

    @property
    def route(self) -> str:
        """The template of the address."""
        return str(getattr(self.scope.get("route"), "path", "none"))

    async def send(self, message: Message) -> None:
        """Sends on, with what stands in the head of every answer."""
        if message["type"] == "http.response.start":
            self.status, self._started = message["status"], True
            headers = MutableHeaders(raw=message["headers"])
            headers["X-Request-Id"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        await self._send(message)

    async def refuse(self, refusal: APIError) -> None:
        """Answers, unless something was answered already: then the connection must break off."""
        if self._started:
            raise ConnectionAbortedError("the answer could not be finished")
        response = refusal.response()
        await response(self.scope, _nothing, self.send)


def is_public(path: str) -> bool:
    """Whether an address needs no key."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _name(address: str) -> str | None:
    """The host's name of an address."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _close(status: int, message: str, code: str) -> APIError:
    """For who still sends: the connection cannot be used again."""
    return APIError(status, message, code=code, headers={"Connection": "close"})


async def _body(headers: Headers, receive: Receive, most: int) -> bytes | None:
    """The whole body; None when the client left meanwhile."""
    length = headers.get("content-length", "")
    too_large = _close(413, f"the body is too large; {most:,} bytes are allowed", "body_too_large")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_kind(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise APIError(415, "the body is not JSON; send Content-Type: application/json", code="not_json")


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then whatever comes: the client leaving."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
