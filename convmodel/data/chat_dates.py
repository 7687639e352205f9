"""The order of day, month and year in the dates of an export, which is found over the whole file."""

import datetime
from collections.abc import Iterable
from typing import get_args

from convmodel.data.chat_stamps import Order, Stamp


class _Evidence:
    """Times of an export's messages, were its dates written in one order.

    Args:
        order: the order.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.impossible = 0
        self.backwards = 0
        self.first: float | None = None
        self.last: float | None = None
        self.times = 0
        self._last_year = datetime.date.today().year + 1

    def add(self, stamp: Stamp) -> None:
        """Count days that do not exist or cannot be of a chat, and times before those of earlier messages."""
        try:
            time = stamp.time(self.order)
        except ValueError:
            self.impossible += 1
            return
        self.impossible += not stamp.is_plausible(self.order, self._last_year)
        self.backwards += self.last is not None and time < self.last
        self.first = time if self.first is None else self.first
        self.last = time
        self.times = hash((self.times, time))

    def span(self) -> float:
        """Return the time from the first to the last message."""
        return abs((self.last or 0) - (self.first or 0))


def find_order(stamps: Iterable[Stamp]) -> tuple[Order, bool]:
    """Return the order of the dates of an export, and whether it had to be guessed.

    The order with the fewest days that do not exist or, with years of two digits, lie before 2009 or in the future
    counts; or else that in which time runs backwards least. Where several are left, the one that is usual where
    clocks are written alike is guessed, or the year first if the chat would be shorter then.

    Args:
        stamps: dates and times as written, in the order of the messages.
    """
    orders = [_Evidence(order) for order in get_args(Order)]
    usual: Order = "day"
    for stamp in stamps:
        usual = usual if stamp.usual == "day" else stamp.usual
        for evidence in orders:
            evidence.add(stamp)
    best = min((each.impossible, each.backwards) for each in orders)
    left = [each for each in orders if (each.impossible, each.backwards) == best]
    chosen = next((each for each in left if each.order == usual), left[0])
    by_year = left[-1]
    if by_year.order == "year" and by_year.span() < chosen.span():
        chosen = by_year
    return chosen.order, any(each.times != chosen.times for each in left)
