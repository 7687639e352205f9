"""Names of persons: comparison of the name that the user gives with the names in an export."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_PHONE = re.compile(r"\+?[\d\s()./-]{7,}")
_SHORTEST_PHONE = 7


def is_same_person(sender: str, me: str | None) -> bool:
    """Return whether a sender has the name that the user gives.

    The comparison ignores case, white space, invisible marks, the "~" that WhatsApp puts before names that are not in
    the address book, and the two ways to encode an accent. In phone numbers, only the digits are compared.
    """
    return me is not None and _fold(sender) == _fold(me)


def find_similar(names: Iterable[str], me: str) -> str | None:
    """Return the first name that contains the given one, ignoring case and accents; None if there is none."""
    wanted = _without_accents(_fold(me))
    return next((name for name in names if wanted and wanted in _without_accents(_fold(name))), None)


def strip_marks(text: str) -> str:
    """Return a text without the invisible marks of writing direction, and without white space at its ends."""
    return re.sub("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", "", text).strip()


@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    """Return the form of a name that `is_same_person` compares."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    folded = "".join(each for each in unicodedata.normalize("NFC", folded) if unicodedata.category(each) != "Cf")
    folded = " ".join(folded.replace("i\u0307", "i").split()).removeprefix("~").strip()
    if not _PHONE.fullmatch(folded):
        return folded
    digits = re.sub(r"\D", "", folded)
    return digits.removeprefix("00") if len(digits) >= _SHORTEST_PHONE else folded


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
