"""One JSON error format for all failures; internals are never exposed."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from convmodel.serving.field_errors import first_problem

TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
"""Error types by status; the other statuses below 500 have `invalid_request_error`."""

ANTHROPIC_TYPES = {
    404: "not_found_error",
    408: "timeout_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Error types by status where Anthropic's API has others."""

RERANK = ("/v1/rerank", "/v2/rerank")
"""Addresses whose errors have a message outside, too, as Cohere's have."""


class APIError(Exception):
    """An error with an HTTP status and a JSON body; the only exception that routes raise on purpose.

    Args:
        message: the value received, the values allowed, and the remedy.
        type: the category of the error; derived from the status by default.
        param: the field with the error.
        code: identifies the error for programs.
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

    def body(self, path: str = "") -> dict[str, Any]:
        """Return the JSON body, with the fields that clients of the API at this address expect."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if path.startswith("/v1/messages"):
            return {"type": "error", "error": {**error, "type": ANTHROPIC_TYPES.get(self.status, self.type)}}
        return {"message": self.message, "error": error} if path in RERANK else {"error": error}

    def response(self, path: str) -> Response:
        """Return the HTTP response to a request of this address.

        Lone surrogates, which a client may send in a field name, become "?".
        """
        content = json.dumps(self.body(path), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, "application/json")


def unavailable(message: str, code: str) -> APIError:
    """Return the error for something that works again soon."""
    return APIError(503, message, code=code, headers={"Retry-After": "5"})


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
        problem = first_problem(error.errors(), error.body)
        code = "unsupported_parameter" if problem.unsupported else "invalid_value"
        message = f"{problem.path}: {problem.message}" if problem.path else problem.message
        error = APIError(400, message, param=problem.path or None, code=code)
    assert isinstance(error, APIError)
    request.state.error_code = error.code
    return error.response(request.url.path)


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    near = _near_address(request) if error.status_code == 404 else None
    messages = {
        404: f"there is no such address; {f'did you mean {near}?' if near else '/docs lists all addresses'}",
        405: f"this address does not accept {request.method[:20]}; /docs lists the methods of each address",
    }
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = messages.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _allowed_methods(request)) is not None:
        headers["Allow"] = methods
    code = codes.get(error.status_code)
    return APIError(error.status_code, message, code=code, headers=headers).response(request.url.path)


def _allowed_methods(request: Request) -> str | None:
    """Return the methods of an address; the framework's own Allow header names those of one route only."""
    methods = {method for route in _routes_to(request, request.url.path) for method in route.methods or ()}
    return ", ".join(sorted(methods)) or None


def _near_address(request: Request) -> str | None:
    """Return the address of which a path is a variation: without /v1, with another prefix, or with a slash behind."""
    parts = [part for part in request.url.path[:1000].split("/") if part]
    for first in range(len(parts)):
        tail = "/".join(parts[first:])
        for path in (f"/v1/{tail}", f"/{tail}"):
            if _routes_to(request, path):
                return path
    return None


def _routes_to(request: Request, path: str) -> list[APIRoute]:
    """Return the routes of the API's description that match a path."""
    routes = (route for route in request.app.routes if isinstance(route, APIRoute) and route.include_in_schema)
    return [route for route in routes if route.path_regex.fullmatch(path)]
