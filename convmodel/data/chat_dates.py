"""Detection of the order of day, month and year in an export, from all its dates."""

import datetime
from collections.abc import Iterable
from typing import get_args

from convmodel.data.chat_stamps import Order, Stamp


class _Evidence:
    """Evidence for or against an order of day, month and year, collected over the dates of an export.

    Args:
        order: the order in which the dates are read.
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
        """Add the date of a message: count it if it is impossible or implausible, or earlier than the previous one."""
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
        """Return the time from the first to the last message in seconds."""
        return abs((self.last or 0) - (self.first or 0))


def find_order(stamps: Iterable[Stamp]) -> tuple[Order, bool]:
    """Return the order of the dates of an export, and whether it had to be guessed.

    The best order has the fewest invalid days: days that do not exist or that, with years of two digits, lie before
    2009 or in the future. Among equal orders, the best one has the fewest messages that are earlier than the message
    before. If several orders remain, the one that is usual for the form of the clock times is taken, or the order year,
    month, day if the chat would span less time with it. The order counts as guessed if the remaining orders give
    different times.

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
