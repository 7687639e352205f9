"""Marks of the halves of a day."""

import re

import pytest

from convmodel.data.day_halves import EARLY, LATE, is_american, is_eastern


@pytest.mark.parametrize(
    "mark", ["AM", "a. m.", "a.m.", "ÖÖ", "上午", "ق.ظ", "пр.об.", "ก่อนเที่ยง", "de.", "לפנה״צ", "e paradites"]
)
def test_marks_before_noon(mark: str) -> None:
    assert re.fullmatch(EARLY, mark, re.IGNORECASE) and not re.fullmatch(LATE, mark, re.IGNORECASE)


@pytest.mark.parametrize(
    "mark", ["pm", "p.\u00a0m.", "ÖS", "오후", "ب.ظ.", "сл. об.", "หลังเที่ยง", "du.", 'אחה"צ', "μ.μ."]
)
def test_marks_after_noon(mark: str) -> None:
    assert re.fullmatch(LATE, mark, re.IGNORECASE) and not re.fullmatch(EARLY, mark, re.IGNORECASE)


def test_marks_tell_regions() -> None:
    assert is_eastern("오후") and is_eastern("午前") and not is_eastern("PM")
    assert is_american("PM") and not is_american("pm")
