"""The order of day, month and year, found over a whole export."""

import datetime

import pytest

from convmodel.data.chat_dates import find_order
from convmodel.data.chat_stamps import Stamp, parse_stamp


def stamps(lines: str, clock: str = "10:00") -> list[Stamp]:
    parsed = [parse_stamp(f"{date}, {clock} - Ida: x") for date in lines.split()]
    return [each[0] for each in parsed if each is not None]


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        ("24/01/12 24/01/31 24/02/03", "year"),  # 31 would be a year of the future
        ("24/01/12 24/02/01 24/02/05", "year"),  # otherwise before 2009
        ("23/12/20 24/01/11 24/02/12", "year"),  # time would run backwards
        ("12/01/24 31/01/24 03/02/24", "day"),
        ("12/01/24 03/02/24 05/02/24", "day"),
        ("01/12/24 01/31/24 02/03/24", "month"),
        ("1/1/20 3/2/20 2/3/20 4/4/20", "day"),
        ("1/5/2024 2/5/2024 1/6/2024", "day"),
        ("2024/1/13 2024/1/14", "day"),  # a year of four digits comes first in any order
    ],
)
def test_the_order_is_known_from_the_whole_file(dates: str, order: str) -> None:
    found = stamps(dates)
    assert len(found) == len(dates.split()) and find_order(found) == (order, False)


@pytest.mark.parametrize(
    ("dates", "clock", "order"),
    [
        ("24/01/12", "10:00", "day"),
        ("24/01/12 24/01/13", "10:00", "year"),  # one day instead of a year
        ("12/01/24 13/01/24", "10:00", "day"),
        ("10/11/12", "10:00 PM", "month"),
        ("24/01/12", "오후 10:00", "year"),
        ("10.11.12 11.11.12 12.11.12 13.11.12", "10:00", "day"),
        ("12/11/10 12/11/11 12/11/12 12/12/13", "10:00", "year"),
    ],
)
def test_an_order_that_is_guessed_is_told(dates: str, clock: str, order: str) -> None:
    assert find_order(stamps(dates, clock)) == (order, True)


def test_an_order_that_changes_nothing_is_no_guess() -> None:
    assert find_order([]) == ("day", False)
    assert find_order(stamps("1/1/2024 2/2/2024")) == ("day", False)


def test_years_of_two_digits_are_right() -> None:
    found = stamps("24/01/12 24/01/31")
    order, _ = find_order(found)
    days = [datetime.datetime.fromtimestamp(each.time(order), datetime.UTC).date().isoformat() for each in found]
    assert days == ["2024-01-12", "2024-01-31"]
