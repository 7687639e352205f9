"""ASGI middleware: request ids, authentication, Host and Origin checks, body limits, logging and metrics."""

import asyncio
import logging
import re
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convmodel.serving.errors import APIError, internal_error
from convmodel.serving.ignored_fields import HEADER, header_value
from convmodel.serving.json_body import check_body_type, check_json
from convmodel.serving.logs import REQUEST_ID, log_defect
from convmodel.serving.service import Service

OPEN = ("/", "/health", "/ready", "/openapi.json", "/docs", "/favicon.ico")
OPEN_FOLDERS = ("/web/", "/docs/")
"""Public paths: they need no API key, and their responses contain no data of users."""

KEYS_SECONDS = 1.0
"""Timeout in seconds for refreshing keys on public paths, which need the keys only to decide on the Host check."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

logger = logging.getLogger(__name__)


class RequestMiddleware:
    """ASGI middleware that rejects invalid requests, and gives valid requests an id, an owner and a complete body."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(scope, send)
        REQUEST_ID.set(context.id)
        try:
            await self._handle(context, receive)
        except APIError as error:
            context.error_code = error.code
            await context.send_error(error)
        except Exception as error:
            log_defect(logger, error, texts=self._service.settings.log_texts)
            context.error_code = "internal"
            await context.send_error(internal_error())
        finally:
            self._count(context)

    async def _handle(self, context: "RequestContext", receive: Receive) -> None:
        settings = self._service.settings
        if "\x00" in context.scope["path"] or b"%00" in context.scope.get("query_string", b""):
            raise APIError(400, "the address holds a NUL character; remove it", code="invalid_value")
        hosts = len(context.headers.getlist("host"))
        if hosts > 1 or (hosts == 0 and context.scope["http_version"] == "1.1"):  # RFC 9112, section 3.2
            raise _closing_error(400, f"the request has {hosts} Host headers; send one", "host")
        await self._authorize(context)
        try:
            async with asyncio.timeout(settings.body_seconds):
                body = await _read_body(context.headers, receive, settings.body_bytes)
        except TimeoutError:
            message = f"the body did not arrive within {settings.body_seconds:g} seconds"
            raise _closing_error(408, message, "timeout") from None
        if body is None:  # the client disconnected
            return
        if body:
            check_body_type(context.headers)
            check_json(body)
        await self._app(context.scope, _replay(body, receive), context.send)

    async def _authorize(self, context: "RequestContext") -> None:
        """Check the API key and set the request's owner; without keys, check the names in Host and Origin.

        Raises:
            APIError: 401 for a missing or unknown key; 403 for a foreign Host or Origin; 429 for too many requests; 503
                if the keys cannot be read.
        """
        keys = self._service.keys
        public = context.scope["path"] in OPEN or context.scope["path"].startswith(OPEN_FOLDERS)
        if not keys.fresh:
            try:
                async with asyncio.timeout(KEYS_SECONDS if public else None):
                    await asyncio.to_thread(keys.refresh)
            except (APIError, TimeoutError):
                if not public:  # /health must answer even if the store does not
                    raise
        if not keys.required:
            self._check_names(context.headers)
        context.scope["state"]["owner"] = ""
        if not public:
            key = context.headers.get("x-api-key")  # the header of Anthropic's clients
            bearer = None if key is None else f"Bearer {key}"
            owner = keys.owner(context.headers.get("authorization") or bearer)
            context.scope["state"]["owner"] = context.owner = owner
            self._service.rate.check(owner)

    def _check_names(self, headers: Headers) -> None:
        """Raise APIError 403 for a foreign Host (DNS rebinding) or Origin (CSRF); for servers without API keys."""
        hosts = self._service.settings.hosts
        origins = self._service.settings.origins
        if not hosts:
            return
        name = _host_name(f"//{headers.get('host', '')}")
        if name not in hosts:
            remedy = f"--allowed-host {name[:100] if name else 'NAME'}"
            message = f"the server does not answer to this name; use localhost, or start it with {remedy} or with keys"
            raise APIError(403, message, code="host")
        origin = headers.get("origin")
        if origin is not None and _host_name(origin) not in hosts and not {origin, "*"} & {*origins}:
            message = f"pages of this origin may not use the server; start it with --cors {origin[:100]}"
            raise APIError(403, message, code="origin")

    def _count(self, context: "RequestContext") -> None:
        route = str(getattr(context.scope.get("route"), "path", "none"))  # "none" for unknown addresses
        status = context.status
        seconds = time.perf_counter() - context.started_at
        error_code = context.error_code or context.scope["state"].get("error_code")
        if error_code:
            self._service.metrics.count_error(error_code)
        method = context.method if context.method in METHODS else "OTHER"
        self._service.metrics.count_request(method, route, status, seconds)
        logger.info("%s %s %d %.3f s %s %s", method, route, status, seconds, context.id, context.owner or "-")


class RequestContext:
    """The state of a request in the middleware.

    Attributes:
        method: the method of the request. In `scope`, HEAD is replaced by GET.
        scope: the ASGI scope for the application.
        id: random id of the request.
        status: status of the response; 499 if the client disconnected before the response began.
        owner: owner of the API key; empty for public paths.
        error_code: code of the error, for the metrics; None without an error.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.method: str = scope["method"]
        routed = "GET" if self.method == "HEAD" else self.method
        self.scope = {**scope, "path": plain_path(scope["path"]), "method": routed}
        self._send = send
        self.scope.setdefault("state", {})
        self.headers = Headers(scope=scope)
        self.id = secrets.token_hex(8)
        self.started_at = time.perf_counter()
        self.status = 499  # kept if the client disconnects before the response begins
        self.owner = ""
        self.error_code: str | None = None
        self._started = False

    async def send(self, message: Message) -> None:
        """Send an ASGI message of the response; add the common headers, and remove the body for HEAD."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._started = True
            headers = MutableHeaders(raw=message["headers"])
            for name in ("X-Request-Id", "Request-Id"):  # OpenAI's and Anthropic's names
                headers[name] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
            if ignored := self.scope["state"].get("ignored"):
                headers[HEADER] = header_value(ignored)
            headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        elif self.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def send_error(self, error: APIError) -> None:
        """Send an error response; if a response has already begun, raise ConnectionAbortedError instead."""
        if self._started:
            raise ConnectionAbortedError("the answer could not be finished")
        await error.response(self.scope["path"])(self.scope, _receive_disconnect, self.send)


def plain_path(path: str) -> str:
    """Return a path without repeated slashes, and below /v1/ without a final slash.

    Some clients produce such slashes when they join the base URL and the path.
    """
    path = re.sub("/{2,}", "/", path)
    return path.rstrip("/") if path.startswith("/v1/") else path


async def _receive_disconnect() -> Message:
    return {"type": "http.disconnect"}


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _closing_error(status: int, message: str, code: str) -> APIError:
    """Return an error whose response closes the connection, since the client may still be sending the body."""
    return APIError(status, message, code=code, headers={"Connection": "close"})


async def _read_body(headers: Headers, receive: Receive, max_bytes: int) -> bytes | None:
    """Return the complete body, or None if the client disconnected; raise APIError 413 above `max_bytes`."""
    length = headers.get("content-length", "")
    too_large = _closing_error(413, f"the body is too large; {max_bytes:,} bytes are allowed", "body_too_large")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` that returns the already read body first, and then the messages after the body."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
