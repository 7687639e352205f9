"""Parsing of dates and times at the beginning of lines in WhatsApp's exports, in the forms of many countries."""

import datetime
import re
from typing import Literal, NamedTuple

from convmodel.data.day_halves import EARLY, LATE, is_american, is_eastern
from convmodel.data.month_names import find_month

Order = Literal["day", "month", "year"]
"""The order of a date: "day" is day, month, year; "month" is month, day, year; "year" is year, month, day."""

_MARKS = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069")) | {0x060C: ","}
_LINE = re.compile(
    r"[\u061c\u200e\u200f]*(?:\[(?P<ios>[^\[\]\n]{8,40})\]\s|(?P<android>[^\[\]\n]{8,40}?)(?:\s[-–]\s|(?<=:\d\d):\s))"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_DATE = r"(?P<a>\d{1,4})(?P<mark>[./-])\s?(?P<b>\d{1,2})(?P=mark)\s?(?P<c>\d{1,4})\.?(?:\sг\.|\sBE)?"
_EAST_DATE = r"(?P<a>\d{4})[年년]\s?(?P<b>\d{1,2})[月월]\s?(?P<c>\d{1,2})[日일]"
_NAME = r"(?P<name>[^\W\d_]{3,12})\.?"
_NAMED_DATES = (
    rf"(?P<day>\d{{1,2}})\.?[\s/]?(?:de\s)?{_NAME}[\s/]?(?:de\s)?(?P<year>\d{{4}}|\d\d)(?:\sг\.)?",
    rf"{_NAME}\s(?P<day>\d{{1,2}}),?\s(?P<year>\d{{4}}|\d\d)",
    rf"(?P<year>\d{{4}})[\s/]{_NAME}[\s/](?P<day>\d{{1,2}})",
)
_TIME = (
    rf"(?:(?P<early>{EARLY})|(?P<late>{LATE}))?\s?(?P<hour>\d{{1,2}})[:.h](?P<minute>\d{{2}})"
    rf"(?:[:.](?P<second>\d{{2}}))?(?:\sч\.)?(?:\s?(?:(?P<am>{EARLY})|(?P<pm>{LATE})))?"
)
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for date in (_DATE, _EAST_DATE, *_NAMED_DATES)
    for form in (
        rf"{date},?\s+(?:(?:klo|kl\.?|um|at|à|às|alle|om|a\slas|в)\s)?{_TIME}(?:\sUhr)?",
        rf"{_TIME},?\s+{date}",  # on Vietnamese phones, and in text copied from WhatsApp Web
    )
)
_THAI = range(2400, 2700)
_SHORT_THAI = range(52, 100)
"""Years of the Thai calendar with two digits, from 2552 (2009) on. As Gregorian years, they would lie in the future."""

_PERSIAN = range(1300, 1500)


class Stamp(NamedTuple):
    """The date and time of a line, as written: the order of the date is not yet known.

    Args:
        numbers: the three numbers of the date, in the order of the text.
        clock: the hour (0 to 23), the minute and the second.
        usual: the order of dates that is usual in countries where clock times are written in this form.
        text: the date and time as written.
    """

    numbers: tuple[int, int, int]
    clock: tuple[int, int, int]
    usual: Order
    text: str

    def time(self, order: Order) -> float:
        """Return the time in seconds since 1970, without a time zone.

        Args:
            order: the order in which the date is written.

        Raises:
            ValueError: when there is no such day or time.
        """
        date = self._arrange(order)
        moment = datetime.datetime.combine(_find_day(*date), datetime.time(*self.clock))
        return (moment - datetime.datetime(1970, 1, 1)).total_seconds()

    def is_plausible(self, order: Order, last_year: int) -> bool:
        """Return whether the year may be that of a message: a year of two digits must lie from 2009 to `last_year`."""
        year, _, _ = self._arrange(order)
        return year > 99 or 2009 <= _whole_year(year) <= last_year

    def is_short_thai(self, order: Order) -> bool:
        """Return whether the year has two digits and is one of the Thai calendar."""
        return self._arrange(order)[0] in _SHORT_THAI

    def _arrange(self, order: Order) -> tuple[int, int, int]:
        """Return the numbers of the date as year, month and day."""
        first, second, third = self.numbers
        if first > 31 or order == "year":
            return first, second, third
        return (third, second, first) if order == "day" else (third, first, second)


def parse_stamp(text: str) -> tuple[Stamp, str] | None:
    """Return the date and time at the beginning of a line, and the rest of the line; None for a line without them."""
    line = _LINE.match(text)
    stamp = parse_date_time(line["ios"] or line["android"]) if line else None
    return (stamp, line["rest"]) if line and stamp else None


def parse_date_time(text: str) -> Stamp | None:
    """Parse a date and time in any of the known forms; return None for any other text."""
    text = text.translate(_MARKS).strip()
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        return None
    hour = int(match["hour"])
    late = match["late"] or match["pm"]
    early = match["early"] or match["am"]
    if late or early:
        hour = hour % 12 + 12 * bool(late)
    clock = (hour, int(match["minute"]), int(match["second"] or 0))
    return Stamp(_read_date(match), clock, _find_usual(late or early), text)


def _read_date(match: re.Match[str]) -> tuple[int, int, int]:
    """Return the three numbers of a date as written, or year, month and day if the month is given by its name."""
    parts = match.groupdict()
    if "name" not in parts:
        return int(parts["a"]), int(parts["b"]), int(parts["c"])
    year = int(parts["year"])
    return year + 2000 * (year < 100), find_month(parts["name"]), int(parts["day"])


def _find_usual(half: str | None) -> Order:
    """Return the order of dates that is usual in countries where AM or PM is written as `half`."""
    if half is None or not (is_eastern(half) or is_american(half)):
        return "day"
    return "year" if is_eastern(half) else "month"


def _whole_year(year: int) -> int:
    """Return the full Gregorian year of a year with two digits, which may be one of the Thai calendar."""
    return year + (2500 - 543 if year in _SHORT_THAI else 2000)


def _find_day(year: int, month: int, day: int) -> datetime.date:
    """Return the date of a day in the Gregorian, the Thai or the Persian calendar, which the year shows.

    Raises:
        ValueError: when there is no such day.
    """
    if year in _THAI:
        year -= 543
    elif year in _PERSIAN:
        return _find_persian_day(year, month, day)
    return datetime.date(year if year > 99 else _whole_year(year), month, day)


def _find_persian_day(year: int, month: int, day: int) -> datetime.date:
    """Return the date of a day in the Persian calendar.

    Leap years are computed by the cycle of 33 years, which is valid from 1799 to 2256.

    Raises:
        ValueError: when there is no such day.
    """
    if not (1 <= month <= 12 and 1 <= day <= 31 - (month > 6)):
        raise ValueError("there is no such day in the Persian calendar")
    years = year + 1595
    before = 365 * years + years // 33 * 8 + (years % 33 + 3) // 4
    months = (month - 1) * 31 if month < 7 else (month - 7) * 30 + 186
    return datetime.date.fromordinal(before + months + day - 356_033)
