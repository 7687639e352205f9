"""What cannot be followed in, one shape of error out; nothing of the inside leaves the server."""

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
"""The type of an error by its status; the others below 500 are `invalid_request_error`."""

WENT_WRONG = "something went wrong in the server; its log says what, under the id of X-Request-Id"

PLACES = ("body", "query", "path", "header", "cookie")
"""Where a validator says that a field stands."""


class APIError(Exception):
    """The one exception of whoever answers requests.

    Args:
        status: of HTTP.
        message: what came, what is allowed, and what to do.
        type: the kind of the error; the status decides where none is given.
        param: the field that it is about.
        code: names the case for a program.
        headers: of the answer.
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
        self.status, self.message, self.param, self.code = status, message, param, code
        self.type = type or ("server_error" if status >= 500 else TYPES.get(status, "invalid_request_error"))
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """What the client reads."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The whole answer; what UTF-8 cannot hold, in a name that a client made up, is written as a question mark."""
        content = json.dumps(self.body(), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, "application/json")


def internal_error() -> APIError:
    """For a defect: says nothing of it."""
    return APIError(500, WENT_WRONG, code="internal")


def add_handlers(app: FastAPI) -> None:
    """Has the application answer in our shape whatever goes wrong."""
    app.add_exception_handler(APIError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_http)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, APIError)
    request.state.refused = error.code
    return error.response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    refusal = refusal_of(error.errors()[0])
    request.state.refused = refusal.code
    return refusal.response()


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {
        404: "there is no such address; /docs lists those that there are",
        405: f"this address does not take {request.method[:20]}; /docs lists what it takes",
    }
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = told.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405 and (allowed := _allowed(request)) is not None:
        headers["Allow"] = allowed
    code = codes.get(error.status_code)
    return APIError(error.status_code, message, code=code, headers=headers).response()


def _allowed(request: Request) -> str | None:
    """The methods that an address takes, of which the framework names those of one route alone."""
    paths: Mapping[str, Mapping[str, object]] = request.app.openapi()["paths"]
    asked = request.url.path
    for path in [asked, *paths]:
        if path in paths and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), asked):
            return ", ".join(sorted(method.upper() for method in paths[path]))
    return None


def refusal_of(problem: Mapping[str, Any]) -> APIError:
    """What a validator found, with the field's name."""
    loc = [str(part) for part in problem.get("loc", ())]
    param = ".".join(loc[1:] if loc[:1] and loc[0] in PLACES else loc) or None
    if problem.get("type") == "extra_forbidden":
        return APIError(
            400,
            f"{param}: there is no such field here, or it is not supported",
            param=param,
            code="unsupported_parameter",
        )
    code = "unsupported_parameter" if problem.get("type") == "unsupported_parameter" else "invalid_value"
    said = str(problem.get("msg", "it cannot be read")).removeprefix("Value error, ")
    return APIError(400, f"{param}: {said}" if param else said, param=param, code=code)
