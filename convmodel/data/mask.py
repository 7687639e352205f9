"""Replacement of phone numbers, mail addresses, links, card and account numbers by placeholders.

The patterns find what has a fixed form. They do not find names, postal addresses, passwords or numbers in words.
"""

import re

_LINK = re.compile(
    r"\b(?:https?://|www\.)[^\s<>\"]+|\b(?:[\w-]+\.)+(?:com|org|net|de|uk|fr|es|it|io|me|ly)/[^\s<>\"]+", re.I
)
_MAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_NUMBER = re.compile(r"(?<![\w.,/:-])(?:\+|\(?0)?\(?\d(?:[ ()/.\u00a0\u202f\u2011-]{0,2}\d){6,18}(?![\w])")
_NOT_PRIVATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T]\d{1,2})?"  # dates
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}(?: \d{1,2})?"
    r"|\d{1,3}(?:\.\d{3})+"  # thousands
)
_PLACEHOLDERS = ("[link]", "[mail]", "[account]")


def mask(text: str) -> str:
    """Return a text with placeholders for links, mail addresses, and account, card, phone and other long numbers."""
    for pattern, placeholder in zip((_LINK, _MAIL, _ACCOUNT), _PLACEHOLDERS, strict=True):
        text = pattern.sub(placeholder, text)
    return _NUMBER.sub(_mask_number, text)


def _mask_number(match: re.Match[str]) -> str:
    text = match[0]
    digits = re.sub(r"\D", "", text)
    if _NOT_PRIVATE.fullmatch(text):
        return text
    if len(digits) >= 13 and _is_card(digits):
        return "[card]"
    if text.startswith(("+", "0", "(")) or len(digits) < len(text):
        return "[phone]"
    return "[number]"


def _is_card(digits: str) -> bool:
    """Return whether the check digit of a card number is right."""
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0
