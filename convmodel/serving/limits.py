"""Requests of owners in, a place or a refusal out: how much each may ask for, and when to come again."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Hashable

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from convmodel.serving.errors import APIError

RECENT = 64
"""Replies from whose durations it is foretold when there will be a place."""


def too_many_requests(message: str, *, code: str, seconds: float) -> APIError:
    """For who should come again after so many seconds."""
    return APIError(429, message, code=code, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class ConcurrencyLimit:
    """Counts the replies that are open: all, those of each key, and those of each of its users.

    Args:
        running: how many are written at once.
        total: how many may be open.
        per_owner, per_user: how many of one may be open; None is as many as there are places.
    """

    def __init__(self, *, running: int, total: int, per_owner: int | None = None, per_user: int | None = None) -> None:
        self._running, self._total = running, total
        self._per_owner, self._per_user = per_owner, per_user
        self._lock = threading.Lock()
        self._open = 0
        self._by: Counter[Hashable] = Counter()
        self._recent: deque[float] = deque(maxlen=RECENT)

    @property
    def open(self) -> int:
        """How many are taken."""
        return self._open

    def take(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Takes places, all or none.

        Raises:
            Refusal: 429 when there are not so many, 400 when there never are.
        """
        with self._lock:
            limits: list[tuple[str, Hashable, int | None]] = [("key", owner, self._per_owner)]
            if user is not None:
                limits.append(("user", (owner, user), self._per_user))
            most = min([self._total, *(limit for _, _, limit in limits if limit is not None)])
            if count > most:  # waiting would not help
                raise APIError(400, f"{count} replies at once; {most} are allowed", param="n", code="too_much")
            for what, who, limit in limits:
                if limit is not None and self._by[who] + count > limit:
                    raise too_many_requests(
                        f"{self._by[who]} replies of this {what} are open, of {limit} that may be; wait for one",
                        code=f"too_many_of_this_{what}",
                        seconds=self._typical(),
                    )
            if self._open + count > self._total:
                raise too_many_requests(
                    "the server has too much to do; try again later", code="queue_full", seconds=self.wait()
                )
            self._open += count
            for _, who, _ in limits:
                self._by[who] += count

    def free(self, *, owner: str, user: str | None = None, seconds: float | None = None) -> None:
        """Gives one place back; `seconds` is how long it was used for a reply."""
        with self._lock:
            self._open -= 1
            for who in (owner,) if user is None else (owner, (owner, user)):
                self._by[who] -= 1
                if not self._by[who]:
                    del self._by[who]
            if seconds is not None:
                self._recent.append(seconds)

    def wait(self) -> float:
        """Seconds after which a place should be free, as far as is known."""
        ahead = max(1, self._open - self._running + 1)
        return min(60.0, self._typical() * ahead / self._running)

    def _typical(self) -> float:
        return min(60.0, sum(self._recent) / len(self._recent)) if self._recent else 1.0


class Rate:
    """Counts the requests of each owner in the last minute.

    Args:
        per_minute: how many there may be; None is as many as come.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._item = None if per_minute is None else RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, owner: str) -> None:
        """Counts one.

        Raises:
            Refusal: 429 when there are too many.
        """
        if self._item is None or self._limiter.hit(self._item, owner):
            return
        reset, _ = self._limiter.get_window_stats(self._item, owner)
        raise too_many_requests(
            f"there are more than {self._item.amount} requests of this key in a minute; wait",
            code="rate_limit_exceeded",
            seconds=reset - time.time(),
        )
