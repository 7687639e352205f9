"""Replacement of phone numbers, mail addresses, links, card and account numbers by placeholders.

Only text of a fixed form is found; docs/conversation-files.md lists the forms. Every quantifier of the patterns is
bounded, so that the time is proportional to the length of the text.
"""

import re

_ENDINGS = (
    "com|org|net|edu|gov|info|biz|io|dev|app|tv|gg|eu|de|uk|fr|ch|nl|pl|se|cz|gr|jp|cn|kr|ru|ua|br|mx|ca|au|nz|il|ir|tr"
)
_ENDINGS_WITH_PATH = f"{_ENDINGS}|me|ly|be|co|it|es|at|us|to|cc|gl|gle|in|pt|no|dk|fi|is|ai|sh|xyz|page|link"
_LINK = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"]{1,4000}|\bwww\.[^\s<>\"]{1,4000}"
    rf"|(?<![\w@.-])(?:[\w-]{{1,63}}\.){{1,5}}(?:(?:{_ENDINGS_WITH_PATH})(?::\d{{1,5}})?/[^\s<>\"]{{0,4000}}"
    rf"|(?:{_ENDINGS})(?::\d{{1,5}})?(?![\w-]|[.@]\w))",
    re.IGNORECASE,
)
_MAIL = re.compile(r"(?<![\w.+%-])[\w+%-][\w.+%'-]{0,63}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_ACCOUNT = re.compile(
    r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ \u00a0-]?[A-Z0-9]{4}){2,7}(?:[ \u00a0-]?[A-Z0-9]{1,3})?(?![A-Z0-9])", re.IGNORECASE
)
_CARD = re.compile(
    r"(?<![\d.,])(?:\d{4}[ .\u00a0-]?\d{6}[ .\u00a0-]?\d{5}|(?:\d{4}[ .\u00a0-]?){3}\d{1,4}"
    r"(?:[ .\u00a0-]?\d{3})?)(?!\d)"
)
_GAP = r"[ ()/.\u00a0\u202f\u2010-\u2015-]"
_END = r"(?!\w|[:.,]\d)"
_PHONE = re.compile(
    rf"\(?[+\uff0b](?:{_GAP}{{0,3}}\d){{8,15}}{_END}"
    rf"|(?<![\w.,/-])(?<!\d:)\(?0(?:{_GAP}{{0,3}}\d){{7,15}}{_END}"
    r"|(?<![\w.,/+-])(?:(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}"
    r"|\(\d{2,5}\) ?\d{2,5}(?:[ -]?\d{2,5}){1,3}|[6-9]\d\d[ -]\d{3}[ -]\d{3}|[6-9]\d{4}[ -]\d{5}"
    rf"|8[ -]?\(?\d{{3}}\)?[ -]?\d{{3}}[ -]?\d\d[ -]?\d\d){_END}"
)
_NUMBER = re.compile(
    r"(?<![\w.,/-])(?:(?:\d{2,10}-){1,4}\d{5,20}|\d{8,40})(?![\w]|[.,]\d)|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]|,\d)"
)
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d\d)"
_BEGINS_WITH_DATE = re.compile(rf"{_DATE}(?!\d)")
_BEGINS_WITH_DAY = re.compile(rf"{_DATE}(?!\d|[-/.]\d\d?(?!\d))")
_WHOLE_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def mask(text: str) -> str:
    """Return a text with placeholders for links, mail addresses, and account, card, phone and other long numbers."""
    text = _MAIL.sub("[mail]", text)
    text = _LINK.sub(_mask_link, text)
    text = _ACCOUNT.sub(_mask_account, text)
    text = _CARD.sub(lambda match: "[card]" if _is_card(re.sub(r"\D", "", match[0])) else match[0], text)
    text = _PHONE.sub(_mask_phone, text)
    return _NUMBER.sub(_mask_number, text)


def _mask_link(match: re.Match[str]) -> str:
    """Return the placeholder, followed by punctuation that does not belong to the link."""
    link = match[0].rstrip(".,;:!?'*_")
    while link.endswith((")", "]")) and link.count("(") + link.count("[") < link.count(")") + link.count("]"):
        link = link[:-1].rstrip(".,;:!?'*_")
    return "[link]" + match[0][len(link) :]


def _mask_account(match: re.Match[str]) -> str:
    """Replace the longest beginning of a match that is a valid IBAN; the words after it are kept."""
    ends = [*(gap.start() for gap in re.finditer("[ \u00a0-]", match[0])), len(match[0])]
    for end in reversed(ends):
        if _is_account(re.sub(r"[^A-Za-z0-9]", "", match[0][:end]).upper()):
            return "[account]" + match[0][end:]
    return match[0]


def _mask_phone(match: re.Match[str]) -> str:
    text = match[0]
    if text.startswith("(") and text.count("(") > text.count(")"):
        return "(" + _mask_digits(text[1:])
    return _mask_digits(text)


def _mask_digits(text: str) -> str:
    if text.startswith(("+", "\uff0b", "(+")):
        return text if re.search(r"[ .]000$", text) else "[phone]"
    is_mixed = "." in text and re.search(r"[^\d.]", text) is not None
    is_decimal = re.fullmatch(r"0\.\d+", text) is not None
    if is_mixed or is_decimal or text.count("/") > 1 or _BEGINS_WITH_DAY.match(text) or re.search(r" 000$", text):
        return text
    return "[phone]"


def _mask_number(match: re.Match[str]) -> str:
    text = match[0]
    if "." in text:  # an IPv4 address, or a version number
        parts = text.split(".")
        return "[number]" if all(int(part) < 256 for part in parts) and len(text) > 10 else text
    return text if _WHOLE_DAY.fullmatch(text) or _BEGINS_WITH_DATE.match(text) else "[number]"


def _is_card(digits: str) -> bool:
    """Return whether a number has the length and the check digit of a card."""
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _is_account(text: str) -> bool:
    """Return whether a text has the length and the check digits of an IBAN."""
    if not 14 <= len(text) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1
