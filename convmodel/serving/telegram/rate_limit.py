"""Limits of the rate of sent messages, and exponential backoff for retries."""

import asyncio
import time

from aiogram.utils.backoff import Backoff, BackoffConfig

FIRST = 0.5
LONGEST = 15.0
"""Seconds before the first retry, and maximum number of seconds before a retry."""


def backoff() -> Backoff:
    """Return a backoff for one sequence of retries, whose waits grow exponentially, with jitter."""
    return Backoff(BackoffConfig(min_delay=FIRST, max_delay=LONGEST, factor=2.0, jitter=FIRST / 5))


class RateLimiter:
    """Limits the rate of messages per chat and in total.

    Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this

    Args:
        gap: seconds between messages to a private chat.
        group_gap: seconds between messages to a group; Telegram allows 20 per minute.
        per_second: maximum number of messages per second to all chats.
    """

    def __init__(self, *, gap: float = 1.0, group_gap: float = 3.0, per_second: float = 30.0) -> None:
        self._gap = gap
        self._group_gap = group_gap
        self._all_gap = 1 / per_second
        self._chats: dict[int, float] = {}
        self._next_free = 0.0

    async def wait_turn(self, chat: int, *, group: bool) -> None:
        """Wait until a message may be sent to a chat."""
        now = time.monotonic()
        if len(self._chats) > 10_000:
            self._chats = {chat: free for chat, free in self._chats.items() if free > now}
        start = max(now, self._chats.get(chat, 0.0))
        self._chats[chat] = start + (self._group_gap if group else self._gap)
        await asyncio.sleep(start - now)
        now = time.monotonic()
        start = max(now, self._next_free)
        self._next_free = start + self._all_gap
        await asyncio.sleep(start - now)

    def try_acquire(self) -> bool:
        """Return whether an optional message may be sent now without waiting; if so, count it."""
        now = time.monotonic()
        if self._next_free > now:
            return False
        self._next_free = now + self._all_gap
        return True
