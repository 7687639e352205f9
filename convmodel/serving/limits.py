"""Admission control: limits of concurrent jobs per server, API key and end user, and of requests per minute."""

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
"""Number of recent reply durations from which Retry-After is estimated."""

MAX_RETRY_AFTER = 60.0
"""Maximum value of an estimated Retry-After in seconds."""


def too_many_requests(message: str, *, code: str, seconds: float) -> APIError:
    """Return an error 429 whose Retry-After is `seconds`, rounded up, but at least 1."""
    return APIError(429, message, code=code, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class ConcurrencyLimit:
    """Limits of the number of open jobs: in total, per API key, and per end user of a key. Thread-safe.

    A job is open from `acquire` to `release`, whether it waits or runs.

    Args:
        running: number of jobs that the model works on at once; used to estimate waiting times.
        total: maximum number of open jobs.
        per_owner: maximum number of open jobs of an API key; None means no limit per key.
        per_user: maximum number of open jobs of an end user; None means no limit per user.
    """

    def __init__(self, *, running: int, total: int, per_owner: int | None = None, per_user: int | None = None) -> None:
        self._running = running
        self._total = total
        self._per_owner = per_owner
        self._per_user = per_user
        self._lock = threading.Lock()
        self.open = 0
        """The number of open jobs."""
        self._open_by: Counter[Hashable] = Counter()
        self._durations: deque[float] = deque(maxlen=RECENT)

    def acquire(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Reserve `count` jobs, all or none.

        Args:
            owner: name of the API key.
            user: end user of the key, if the request names one.

        Raises:
            APIError: 429 if too many other jobs are open now; 400 if `count` by itself exceeds a limit.
        """
        with self._lock:
            limits: list[tuple[str, Hashable, int | None]] = [("key", owner, self._per_owner)]
            if user is not None:
                limits.append(("user", (owner, user), self._per_user))
            max_count = min([self._total, *(limit for _, _, limit in limits if limit is not None)])
            if count > max_count:  # a later attempt would fail too
                raise APIError(400, f"{count} replies at once; {max_count} are allowed", param="n", code="too_much")
            for kind, holder, limit in limits:
                if limit is not None and self._open_by[holder] + count > limit:
                    message = (
                        f"{self._open_by[holder]} replies of this {kind} are open; {limit} are allowed; wait for one"
                    )
                    raise too_many_requests(message, code=f"too_many_of_this_{kind}", seconds=self._mean_duration())
            if self.open + count > self._total:
                message = "the server has too much to do; try again later"
                raise too_many_requests(message, code="queue_full", seconds=self.retry_after())
            self.open += count
            for _, holder, _ in limits:
                self._open_by[holder] += count

    def release(self, seconds: float | None = None, *, owner: str, user: str | None = None) -> None:
        """Release one job; `seconds` is its duration, or None if it never started."""
        with self._lock:
            self.open -= 1
            for holder in (owner,) if user is None else (owner, (owner, user)):
                self._open_by[holder] -= 1
                if not self._open_by[holder]:
                    del self._open_by[holder]
            if seconds is not None:
                self._durations.append(seconds)

    def retry_after(self) -> float:
        """Return the estimated number of seconds until another job can be admitted."""
        ahead = max(1, self.open - self._running + 1)
        return min(MAX_RETRY_AFTER, self._mean_duration() * ahead / self._running)

    def _mean_duration(self) -> float:
        if not self._durations:
            return 1.0
        return min(MAX_RETRY_AFTER, sum(self._durations) / len(self._durations))


class Rate:
    """Limit of the number of requests per minute and owner of an API key; `per_minute` None means no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._item = None if per_minute is None else RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, owner: str) -> None:
        """Count a request; raise APIError 429 if the owner sent more requests than allowed in the last minute."""
        if self._item is None or self._limiter.hit(self._item, owner):
            return
        reset, _ = self._limiter.get_window_stats(self._item, owner)
        raise too_many_requests(
            f"there were more than {self._item.amount} requests of this key in a minute; wait",
            code="rate_limit_exceeded",
            seconds=reset - time.time(),
        )
