"""Authentication by API keys; the server knows only hashes of the keys."""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping

from convmodel.serving.errors import APIError, unavailable
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.keys import LOCAL, digest

logger = logging.getLogger(__name__)

FRESH = 5.0
"""Seconds for which the keys are cached. A removed key works until then."""

RETRY_SECONDS = 1.0
"""Seconds after a failed read in which the keys are not read again, so that not every request waits for a timeout."""


UNREADABLE = "keys cannot be read now; try again later"


class Keys:
    """A cache of the API keys. Thread-safe.

    Args:
        digests: function that returns a mapping from the SHA-256 of each key, in hexadecimal, to the key's owner; None
            if there is no store of keys.
        required: whether to reject requests without a key even if no keys exist.
    """

    def __init__(self, digests: Callable[[], Mapping[str, str]] | None = None, *, required: bool = False) -> None:
        self._read = digests
        self._required = required
        self._lock = threading.Lock()
        self._owners: Mapping[str, str] = {}
        self._read_at = -FRESH
        self._failed_at = -RETRY_SECONDS

    @property
    def fresh(self) -> bool:
        """Whether the cache is recent enough; if not, `refresh` reads the keys, which may block."""
        return self._read is None or time.monotonic() - self._read_at < FRESH

    def refresh(self) -> None:
        """Read the keys from the store, unless the cache is fresh.

        Raises:
            APIError: 503 if the store cannot be read; the cached keys are not used, since one may have been removed.
        """
        with self._lock:
            if self._read is None or self.fresh:
                return
            if time.monotonic() - self._failed_at < RETRY_SECONDS:
                raise unavailable(UNREADABLE, "store_unavailable")
            try:
                self._owners = dict(self._read())
            except Unavailable as error:
                logger.error("%s", error)
                self._failed_at = time.monotonic()
                raise unavailable(UNREADABLE, "store_unavailable") from None
            self._read_at = time.monotonic()

    @property
    def required(self) -> bool:
        """Whether requests need a key: always if configured so, otherwise once a key exists."""
        return self._required or bool(self._owners)

    def owner(self, authorization: str | None) -> str:
        """Return the owner of the key in an Authorization header, or `LOCAL` if no key is required.

        Args:
            authorization: the header's value, `Bearer KEY`; None without a header.

        Raises:
            APIError: 401 for a missing or unknown key.
        """
        if not self.required:
            return LOCAL
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("this server needs an API key: send it as Authorization: Bearer KEY", "missing_api_key")
        key_digest = digest(key.strip())
        owner = None
        for known_digest, known_owner in self._owners.items():  # all of them, against timing attacks
            if hmac.compare_digest(known_digest, key_digest):
                owner = known_owner
        if owner is None:
            raise _unauthorized("this key is not known; ask the server's operator for one", "invalid_api_key")
        return owner


def _unauthorized(message: str, code: str) -> APIError:
    return APIError(401, message, code=code, headers={"WWW-Authenticate": "Bearer"})
