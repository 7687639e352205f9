"""The marks for times before and after noon (AM and PM) in many languages."""

import re

_EARLY = (
    *("a.m.", "上午", "午前", "오전", "凌晨", "清晨", "早上", "ص", "ق.ظ.", "π.μ.", "SA", "PG", "ÖÖ", "ก่อนเที่ยง", "дп"),
    *("пр.об.", "пре подне", "pre podne", "prijepodne", "претпладне", "dop.", "de.", "ap.", "fm", "vm.", "priešpiet"),
    *("priekšp.", "f.h.", "p.d.", "e paradites", "TO", "ү.ө.", 'לפנה"צ', "قبل دوپہر", "غ.م.", "पूर्वाह्न", "म.पू."),
    *("পূর্বাহ্ণ", "முற்பகல்", "ಪೂರ್ವಾಹ್ನ", "ਪੂ.ਦੁ.", "පෙ.ව.", "နံနက်", "ព្រឹក", "ກ່ອນທ່ຽງ", "ጥዋት", "yb"),
)
_LATE = (
    *("p.m.", "下午", "午後", "오후", "晚上", "傍晚", "中午", "م", "ب.ظ.", "μ.μ.", "CH", "PTG", "ÖS", "หลังเที่ยง", "пп"),
    *("сл.об.", "по подне", "po podne", "popodne", "попладне", "odp.", "pop.", "du.", "ip.", "em", "nm.", "popiet"),
    *("pēcp.", "e.h.", "m.d.", "e pasdites", "TK", "ү.х.", 'אחה"צ', "بعد دوپہر", "غ.و.", "अपराह्न", "म.उ."),
    *("অপরাহ্ণ", "பிற்பகல்", "ಅಪರಾಹ್ನ", "ਬਾ.ਦੁ.", "ප.ව.", "ညနေ", "ល្ងាច", "ຫຼັງທ່ຽງ", "ከሰዓት", "yh"),
)
_EAST = re.compile("[一-鿿가-힣]")


def _pattern(marks: tuple[str, ...]) -> str:
    """Return a regular expression for marks; dots, and spaces after dots, may be missing."""
    spelled = (re.escape(mark).replace(r"\.", r"\.?\s?").removesuffix(r"\s?") for mark in marks)
    return "|".join(mark.replace('"', '["״”]') for mark in sorted(spelled, key=len, reverse=True))


EARLY = _pattern(_EARLY)
LATE = _pattern(_LATE)
"""Regular expressions for the marks before and after noon; use them with `re.IGNORECASE`."""


def is_eastern(mark: str) -> bool:
    """Return whether a mark is Chinese, Japanese or Korean, where dates begin with the year."""
    return _EAST.match(mark) is not None


def is_american(mark: str) -> bool:
    """Return whether a mark is "AM" or "PM", as in the United States, where dates begin with the month."""
    return mark in ("AM", "PM")
