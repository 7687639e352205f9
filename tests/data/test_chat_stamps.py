"""Dates and times of WhatsApp's lines: the forms of regions and the calendars."""

import datetime
from typing import get_args

import pytest

from convmodel.data.chat_stamps import Order, parse_stamp

EVENING = datetime.datetime(2024, 5, 20, 22, 0)


@pytest.mark.parametrize(
    "stamp",
    [
        *("[22:00, 20/05/2024]", "[10:00 PM, 20/5/2024]", "22:00, 20/05/2024 -", "20/05/2024, 22:00:00:"),
        *("20.05.24 г., 22:00 ч. -", "20/5/24, 10:00 PTG -", "20/5/24, 10:00 μ.μ. -", "20/5/24, 10:00 CH -"),
        *("20/5/24, 22h00 -", "20/5/2567 BE, 22:00 -", "[۱۴۰۳/۲/۳۱،\u200f ۲۲:۰۰:۰۰]", "٢٠٢٤/٥/٢٠، ١٠:٠٠ م -"),
        *("2024年5月20日 下午10:00 -", "2024년 5월 20일 오후 10:00 -", "٢٠\u061c/٥\u061c/٢٠٢٤، ١٠:٠٠ م -"),
        *("[2024/5/20 下午10:00:00]", "20. 05. 2024. 22:00 -", "[20/5/24 10:00:00 p.\u00a0m.]"),
    ],
)
def test_the_forms_of_regions_are_one_time(stamp: str) -> None:
    parsed = parse_stamp(f"{stamp} Ida: x")
    assert parsed is not None and parsed[1] == "Ida: x"
    assert parsed[0].time("day") == EVENING.replace(tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    "stamp",
    [
        *("20 May 2024, 22:00 -", "20. Mai 2024, 22:00 -", "[20. Mai 2024 um 22:00:00]", "May 20, 2024, 10:00 PM -"),
        *("20 de mayo de 2024, 22:00 -", "20 mai 2024 à 22:00 -", "20 de mai. de 2024 22:00 -", "20 mag 2024, 22:00 -"),
        *("20 mei 2024 om 22:00 -", "20 мая 2024 г., 22:00 -", "[May 20, 24, 10:00:00 PM]", "20-May-24 22:00 -"),
        *("2024 May 20, 22:00 -", "[22:00, 20 May 2024]", "[20/May/2024, 22:00:00]", "[20 May 2024 at 22:00]"),
    ],
)
def test_months_with_names(stamp: str) -> None:
    parsed = parse_stamp(f"{stamp} Ida: x")
    if "-May-" in stamp:  # of other programs
        assert parsed is None
        return
    assert parsed is not None and parsed[1] == "Ida: x"
    seconds = EVENING.replace(tzinfo=datetime.UTC).timestamp()
    assert [parsed[0].time(order) for order in get_args(Order)] == [seconds] * 3


def test_a_month_of_another_language_is_an_error() -> None:
    parsed = parse_stamp("20 stycznia 2024, 22:00 - Ida: x")
    assert parsed is not None
    with pytest.raises(ValueError):
        parsed[0].time("day")


def test_midnight_and_noon() -> None:
    clocks = [parse_stamp(f"1/2/24, 12:05 {half} - x") for half in ("AM", "PM")]
    assert [each[0].clock[0] for each in clocks if each] == [0, 12]


@pytest.mark.parametrize("line", ["10:30 - at ten", "Ida: 1/2/24, 10:00 - x", "1/2/24 - x", "", "[1/2/24, 10:00:00]"])
def test_other_lines_have_no_time(line: str) -> None:
    assert parse_stamp(line) is None


@pytest.mark.parametrize("date", ["1403/13/01", "1403/07/31", "2024/02/30"])
def test_a_day_that_does_not_exist_is_an_error(date: str) -> None:
    parsed = parse_stamp(f"{date}, 10:00 - x")
    assert parsed is not None
    with pytest.raises(ValueError):
        parsed[0].time("day")
