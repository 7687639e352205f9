"""Dates and times at the beginning of the lines of WhatsApp's exports, in the forms of the phones' regions."""

import datetime
import re
from typing import Literal, NamedTuple

Order = Literal["day", "month"]

_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069")) | {0x060C: ","}
_LINE = re.compile(
    r"[\u200e\u200f]*(?:\[(?P<ios>[^\[\]\n]{8,40})\]\s|(?P<android>[^\[\]\n]{8,40}?)(?:\s[-–]\s|(?<=:\d\d):\s))"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_DATE = r"(?P<a>\d{1,4})(?P<mark>[./-])\s?(?P<b>\d{1,2})(?P=mark)\s?(?P<c>\d{1,4})\.?(?:\sг\.|\sBE)?"
_EARLY = r"上午|午前|오전|凌晨|清晨|早上|[Aa]\.?\s?[Mm]\.?|ص|ق\.ظ\.?|π\.?μ\.?|SA|PG|लपूर्वाह्न|לפנה״צ"
_LATE = r"下午|午後|오후|晚上|傍晚|中午|[Pp]\.?\s?[Mm]\.?|م|ب\.ظ\.?|μ\.?μ\.?|CH|PTG|अपराह्न|אחה״צ"
_TIME = (
    rf"(?:(?P<early>{_EARLY})|(?P<late>{_LATE}))?\s?(?P<hour>\d{{1,2}})[:.h](?P<minute>\d{{2}})"
    rf"(?:[:.](?P<second>\d{{2}}))?(?:\sч\.)?(?:\s?(?:(?P<am>{_EARLY})|(?P<pm>{_LATE})))?"
)
_FORMS = (
    re.compile(rf"{_DATE},?\s+(?:(?:klo|kl\.?|um|at|à)\s)?{_TIME}"),
    re.compile(rf"{_TIME},?\s+{_DATE}"),  # of Vietnamese phones, and copied from WhatsApp's page
)
_THAI = range(2400, 2700)
_PERSIAN = range(1300, 1500)


class Stamp(NamedTuple):
    """Date and time of a line as written.

    Args:
        numbers: the three numbers of the date.
        clock: hour, minute and second, of 24 hours.
        has_halves: whether the clock has 12 hours.
        is_bracketed: whether it is in brackets.
    """

    numbers: tuple[int, int, int]
    clock: tuple[int, int, int]
    has_halves: bool
    is_bracketed: bool

    def time(self, order: Order) -> float:
        """Return the time in seconds.

        Raises:
            ValueError: when there is no such day or time.
        """
        first, second, third = self.numbers
        if first > 31:
            date = (first, second, third)
        elif order == "day":
            date = (third, second, first)
        else:
            date = (third, first, second)
        moment = datetime.datetime.combine(_find_day(*date), datetime.time(*self.clock))
        return (moment - datetime.datetime(1970, 1, 1)).total_seconds()


def parse_stamp(text: str) -> tuple[Stamp, str] | None:
    """Return date and time of a line, and the rest of it; None if it has none."""
    line = _LINE.match(text)
    if line is None:
        return None
    stamp = (line["ios"] or line["android"]).translate(_MARKS).strip()
    match = next(filter(None, (form.fullmatch(stamp) for form in _FORMS)), None)
    if match is None:
        return None
    hour = int(match["hour"])
    late = match["late"] or match["pm"]
    has_halves = bool(late or match["early"] or match["am"])
    if has_halves:
        hour = hour % 12 + 12 * bool(late)
    clock = (hour, int(match["minute"]), int(match["second"] or 0))
    numbers = (int(match["a"]), int(match["b"]), int(match["c"]))
    return Stamp(numbers, clock, has_halves, line["ios"] is not None), line["rest"]


def _find_day(year: int, month: int, day: int) -> datetime.date:
    """Return a day of the Gregorian, the Thai or the Persian calendar."""
    if year in _THAI:
        year -= 543
    elif year in _PERSIAN:
        return _find_persian_day(year, month, day)
    return datetime.date(year + 2000 * (year < 100), month, day)


def _find_persian_day(year: int, month: int, day: int) -> datetime.date:
    """Return a day of the Persian calendar, in the cycle of 33 years that holds from 1799 to 2256."""
    if not (1 <= month <= 12 and 1 <= day <= 31 - (month > 6)):
        raise ValueError("there is no such day in the Persian calendar")
    years = year + 1595
    before = 365 * years + years // 33 * 8 + (years % 33 + 3) // 4
    months = (month - 1) * 31 if month < 7 else (month - 7) * 30 + 186
    return datetime.date.fromordinal(before + months + day - 356_033)
