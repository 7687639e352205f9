"""Names of persons: comparison of a name that a user gave with the names of an export."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_PHONE = re.compile(r"\+?[\d\s()./-]{7,}")
_SHORTEST_PHONE = 7


def is_same_person(sender: str, me: str | None) -> bool:
    """Return whether a sender has the given name.

    Ignored are case, white space, invisible marks, the "~" that WhatsApp puts before names that are not in the address
    book, the two ways to write an accent, and, in phone numbers, everything but the digits.
    """
    return me is not None and _fold(sender) == _fold(me)


def find_similar(names: Iterable[str], me: str) -> str | None:
    """Return the first name that has the given one in it, also without accents; None if there is none."""
    wanted = _without_accents(_fold(me))
    return next((name for name in names if wanted and wanted in _without_accents(_fold(name))), None)


def strip_marks(text: str) -> str:
    """Return a text without the marks of direction around it, and those inside that set off a name."""
    return re.sub("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", "", text).strip()


@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    folded = "".join(each for each in unicodedata.normalize("NFC", folded) if unicodedata.category(each) != "Cf")
    folded = " ".join(folded.replace("i\u0307", "i").split()).removeprefix("~").strip()
    if not _PHONE.fullmatch(folded):
        return folded
    digits = re.sub(r"\D", "", folded)
    return digits.removeprefix("00") if len(digits) >= _SHORTEST_PHONE else folded


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
