"""What a store raises in, what a client is told out."""

import contextlib
import logging
from collections.abc import Iterator

from convmodel.serving.errors import APIError
from convmodel.serving.store import Missing, Unavailable

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raises Refusals instead of the store's errors, but for `Conflict` and `KeyAlreadyUsed`: another was quicker."""
    try:
        yield
    except Missing:
        raise missing() from None
    except Unavailable as error:
        logger.error("%s", error)
        raise APIError(
            503,
            "nothing can be kept now, and nothing was changed; try again later",
            code="store_unavailable",
            headers={"Retry-After": "5"},
        ) from None


def missing() -> APIError:
    """For a conversation that is not there, and in the same words for somebody else's."""
    return APIError(404, "there is no conversation of this id", code="no_conversation")


def conflict() -> APIError:
    """For who was not the first."""
    return APIError(
        409, "the conversation was changed meanwhile; read it again, and decide on its newest version", code="conflict"
    )


def state(message: str, code: str) -> APIError:
    """For what does not go with how the conversation stands."""
    return APIError(409, message, code=code)
