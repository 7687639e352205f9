"""The JSON format of all errors; messages never contain internal details."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from convmodel.serving.addresses import methods_of, remedy
from convmodel.serving.field_errors import first_problem

TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
"""Error types by status. Other statuses below 500 have the type `invalid_request_error`, from 500 on `server_error`."""

ANTHROPIC_TYPES = {
    404: "not_found_error",
    408: "timeout_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Error types by status in Anthropic's API, where they differ from `TYPES`."""

RERANK = ("/v1/rerank", "/v2/rerank")
"""Paths whose errors repeat `message` at the top level of the body, like those of Cohere's API."""


class APIError(Exception):
    """An error with an HTTP status and a JSON body; the only exception that routes raise intentionally.

    Args:
        status: the HTTP status.
        message: text for the user: the value received, the values allowed, and the remedy.
        type: category of the error; derived from the status by default.
        param: path of the field with the error.
        code: identifier of the error for programs.
        headers: additional headers of the response.
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
        """Return the JSON body in the format of the API to which a path belongs."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if path.startswith("/v1/messages"):
            return {"type": "error", "error": {**error, "type": ANTHROPIC_TYPES.get(self.status, self.type)}}
        return {"message": self.message, "error": error} if path in RERANK else {"error": error}

    def response(self, path: str) -> Response:
        """Return the HTTP response to a request for a path.

        Lone surrogates in the message, from field names in the request, become "?".
        """
        content = json.dumps(self.body(path), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, "application/json")


def unavailable(message: str, code: str) -> APIError:
    """Return an error 503 for a temporary failure, with a Retry-After of 5 seconds."""
    return APIError(503, message, code=code, headers={"Retry-After": "5"})


def internal_error() -> APIError:
    """Return an error 500 for an unexpected exception, without its details."""
    message = "something went wrong in the server; its log says what, under the id of X-Request-Id"
    return APIError(500, message, code="internal")


def add_handlers(app: FastAPI) -> None:
    """Add exception handlers to an application, so that all its errors have this module's format."""
    for kind in (APIError, RequestValidationError):
        app.add_exception_handler(kind, _handle_api_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)


async def _handle_api_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        problem = first_problem(error.errors(), error.body)
        code = "unsupported_parameter" if problem.unsupported else "invalid_value"
        message = f"{problem.path or 'the body'}: {problem.message}"
        error = APIError(400, message, param=problem.path or None, code=code)
    assert isinstance(error, APIError)
    request.state.error_code = error.code
    return error.response(request.url.path)


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message, code = str(error.detail), None
    headers = dict(error.headers or {})
    path = request.url.path
    if error.status_code == 404:
        message, code = f"there is no such address; {remedy(request.app, path)}", "not_found"
    elif error.status_code == 405:
        methods = methods_of(request.app, path)
        accepted = "/docs lists the methods of each address" if methods is None else f"it accepts {methods}"
        message, code = f"this address does not accept {request.method[:20]}; {accepted}", "method_not_allowed"
        headers |= {} if methods is None else {"Allow": methods}
    return APIError(error.status_code, message, code=code, headers=headers).response(path)
