"""How long to wait: for one's turn to send, and before something that failed is tried again."""

import asyncio
import time

from aiogram.utils.backoff import Backoff, BackoffConfig

FIRST, LONGEST = 0.5, 15.0
"""Seconds before something is tried again: the first time, and at most."""


def backoff() -> Backoff:
    """Waits that are twice as long each time."""
    return Backoff(BackoffConfig(min_delay=FIRST, max_delay=LONGEST, factor=2.0, jitter=FIRST / 5))


class RateLimiter:
    """Messages of everybody and of each chat at a pace that Telegram allows.

    Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this

    Args:
        gap: seconds between two messages to a person.
        group_gap: seconds between two messages to a group, which takes 20 a minute.
        per_second: messages to all chats together.
    """

    def __init__(self, *, gap: float = 1.0, group_gap: float = 3.0, per_second: float = 30.0) -> None:
        self._gap, self._group_gap, self._all_gap = gap, group_gap, 1 / per_second
        self._chats: dict[int, float] = {}
        self._all = 0.0

    async def turn(self, chat: int, *, group: bool) -> None:
        """Returns when a message may be sent to a chat."""
        self._drop_old()
        start = max(time.monotonic(), self._chats.get(chat, 0.0))
        self._chats[chat] = start + (self._group_gap if group else self._gap)
        await asyncio.sleep(max(0.0, start - time.monotonic()))
        start = max(time.monotonic(), self._all)
        self._all = start + self._all_gap
        await asyncio.sleep(max(0.0, start - time.monotonic()))

    def now(self) -> bool:
        """Whether something that can be left out may be sent now; then it counts."""
        now = time.monotonic()
        if self._all > now:
            return False
        self._all = now + self._all_gap
        return True

    def _drop_old(self) -> None:
        if len(self._chats) > 10_000:
            now = time.monotonic()
            self._chats = {chat: free for chat, free in self._chats.items() if free > now}
