"""One JSON error format for all failures; internals are never exposed."""

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
"""Error types by status; the other statuses below 500 have `invalid_request_error`."""

LOCATIONS = ("body", "query", "path", "header", "cookie")
"""The parts of a request by which a validation error's location can begin."""


class APIError(Exception):
    """An error with an HTTP status and a JSON body; the only exception that routes raise on purpose.

    Args:
        status: the HTTP status.
        message: the value received, the values allowed, and the remedy.
        type: the category of the error; derived from the status by default.
        param: the field with the error.
        code: identifies the error for programs.
        headers: headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.type = type or ("server_error" if status >= 500 else TYPES.get(status, "invalid_request_error"))
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return the HTTP response. Lone surrogates, which a client may send in a field name, become "?"."""
        content = json.dumps(self.body(), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, "application/json")


def internal_error() -> APIError:
    """Return the error for a defect, without any details."""
    message = "something went wrong in the server; its log says what, under the id of X-Request-Id"
    return APIError(500, message, code="internal")


def add_handlers(app: FastAPI) -> None:
    """Make an application answer all failures in this module's format."""
    for kind in (APIError, RequestValidationError):
        app.add_exception_handler(kind, _handle_api_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)


async def _handle_api_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        error = validation_error(error.errors()[0])
    assert isinstance(error, APIError)
    request.state.error_code = error.code
    return error.response()


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {
        404: "there is no such address; /docs lists all addresses",
        405: f"this address does not accept {request.method[:20]}; /docs lists the methods of each address",
    }
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = messages.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _allowed_methods(request)) is not None:
        headers["Allow"] = methods
    code = codes.get(error.status_code)
    return APIError(error.status_code, message, code=code, headers=headers).response()


def _allowed_methods(request: Request) -> str | None:
    """Return the methods of an address; the framework's own Allow header names those of one route only."""
    paths: Mapping[str, Mapping[str, object]] = request.app.openapi()["paths"]
    requested = request.url.path
    for path in [requested, *paths]:
        if path in paths and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), requested):
            return ", ".join(sorted(method.upper() for method in paths[path]))
    return None


def validation_error(problem: Mapping[str, Any]) -> APIError:
    """Return the error for a problem that pydantic reported, with the name of the field."""
    location = [str(part) for part in problem.get("loc", ())]
    param = ".".join(location[1:] if location[:1] and location[0] in LOCATIONS else location) or None
    message = str(problem.get("msg", "it cannot be read")).removeprefix("Value error, ")
    if problem.get("type") == "extra_forbidden":
        message = "there is no such field here, or it is not supported"
    unsupported = problem.get("type") in ("extra_forbidden", "unsupported_parameter")
    code = "unsupported_parameter" if unsupported else "invalid_value"
    return APIError(400, f"{param}: {message}" if param else message, param=param, code=code)
