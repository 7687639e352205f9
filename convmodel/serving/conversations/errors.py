"""API errors of stored conversations, and the translation of store errors into them."""

import contextlib
import logging
from collections.abc import Iterator

from convmodel.serving.errors import APIError
from convmodel.serving.store.errors import Missing, Unavailable

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def store_errors_as_api_errors() -> Iterator[None]:
    """Translate store errors into API errors, except `Conflict` and `KeyAlreadyUsed`, which callers handle."""
    try:
        yield
    except Missing:
        raise not_found() from None
    except Unavailable as error:
        logger.error("%s", error)
        raise APIError(
            503,
            "the store is not available, and nothing was changed; try again later",
            code="store_unavailable",
            headers={"Retry-After": "5"},
        ) from None


def not_found() -> APIError:
    """Return the error for an unknown conversation; another owner's conversation gets the same message."""
    return APIError(404, "there is no conversation with this id", code="no_conversation")


def version_conflict() -> APIError:
    """Return the error for a request that lost against a concurrent change."""
    return APIError(
        409, "the conversation has changed meanwhile; read it again and retry with its newest version", code="conflict"
    )


def invalid_state(message: str, code: str) -> APIError:
    """Return the error for an operation that the conversation's current state does not allow."""
    return APIError(409, message, code=code)
