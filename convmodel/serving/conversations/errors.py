"""API errors of stored conversations, and the translation of store errors into API errors."""

import contextlib
import logging
from collections.abc import Iterator

from convmodel.serving.errors import APIError, unavailable
from convmodel.serving.store.errors import Missing, Unavailable

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def translate_store_errors() -> Iterator[None]:
    """Translate store errors raised in the block into API errors, except `Conflict` and `KeyAlreadyUsed`.

    Callers handle these two themselves, since a repeated request may have caused them.
    """
    try:
        yield
    except Missing:
        raise not_found() from None
    except Unavailable as error:
        logger.error("%s", error)
        message = "the store is not available, and nothing was changed; try again later"
        raise unavailable(message, "store_unavailable") from None


def not_found() -> APIError:
    """Return the error for an unknown conversation; another owner's conversation gets the same message."""
    return APIError(404, "there is no conversation with this id", code="no_conversation")


def version_conflict() -> APIError:
    """Return the error for a request that expects another version of the conversation than the stored one."""
    message = "the conversation has changed meanwhile; read it again and retry with its newest version"
    return APIError(409, message, code="conflict")


def invalid_state(message: str, code: str) -> APIError:
    """Return the error for an operation that the conversation's current state does not allow."""
    return APIError(409, message, code=code)
