"""The Authorization header in, the owner out; keys are known by their hashes alone."""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping

from convmodel.serving.errors import APIError
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.keys import LOCAL, digest

logger = logging.getLogger(__name__)

FRESH = 5.0
"""Seconds after which keys are read again: a key that was taken back works no longer than this."""

AGAIN = 1.0
"""Seconds after a failure in which nobody tries to read keys: those who waited for it must not try in turn."""

Digests = Callable[[], Mapping[str, str]]
"""The SHA-256 of each key, in hexadecimal, with its owner; may be called from any thread."""


class Keys:
    """Knows who asks.

    Args:
        digests: reads the keys; None where there is nothing that keeps any.
        required: refuses whoever has none, even while there are no keys at all.
    """

    def __init__(self, digests: Digests | None = None, *, required: bool = False) -> None:
        self._read, self._required = digests, required
        self._lock = threading.Lock()
        self._known: Mapping[str, str] = {}
        self._read_at, self._failed_at = -FRESH, -AGAIN

    @property
    def fresh(self) -> bool:
        """Whether what is known is new enough; reading anew may take a moment."""
        return self._read is None or time.monotonic() - self._read_at < FRESH

    def refresh(self) -> None:
        """Reads the keys again, unless they are fresh.

        Raises:
            Refusal: 503 when they cannot be read: a key that was taken back must not go on working.
        """
        with self._lock:
            if self._read is None or self.fresh:
                return
            if time.monotonic() - self._failed_at < AGAIN:
                raise _unreadable()
            try:
                self._known = dict(self._read())
            except Unavailable as error:
                logger.error("%s", error)
                self._failed_at = time.monotonic()
                raise _unreadable() from None
            self._read_at = time.monotonic()

    @property
    def required(self) -> bool:
        """Whether nobody is let in without a key."""
        return self._required or bool(self._known)

    def owner(self, authorization: str | None) -> str:
        """Who asks.

        Args:
            authorization: the header, `Bearer KEY`.

        Raises:
            Refusal: 401 without a key, or with one that is not known.
        """
        if not self.required:
            return LOCAL
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unknown("this server wants a key: send it as Authorization: Bearer KEY", "missing_api_key")
        asked, found = digest(key.strip()), None
        for known, owner in self._known.items():
            if hmac.compare_digest(known, asked):
                found = owner
        if found is None:
            raise _unknown("this key is not known; ask whoever runs the server for one", "invalid_api_key")
        return found


def _unreadable() -> APIError:
    said = "keys cannot be read now; try again later"
    return APIError(503, said, code="store_unavailable", headers={"Retry-After": "5"})


def _unknown(message: str, code: str) -> APIError:
    return APIError(401, message, code=code, headers={"WWW-Authenticate": "Bearer"})
