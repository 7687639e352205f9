"""Names of months in several languages, in full or abbreviated."""

import unicodedata

_NAMES = (
    "january januar jänner enero janvier janeiro gennaio januari января январь",
    "february februar feber febrero février fevereiro febbraio februari февраля февраль",
    "march märz mrz marzo mars março maart mrt марта март",
    "april abril avril aprile апреля апрель",
    "may mai mayo maio maggio mei мая май",
    "june juni junio juin junho giugno июня июнь",
    "july juli julio juillet julho luglio июля июль",
    "august agosto août augustus августа август",
    "september septiembre setiembre septembre setembro settembre сентября сентябрь",
    "october oktober octubre octobre outubro ottobre октября октябрь",
    "november noviembre novembre novembro ноября ноябрь",
    "december dezember diciembre décembre dezembro dicembre декабря декабрь",
)
"""The names of each month in English, German, Spanish, French, Portuguese, Italian, Dutch and Russian."""


def find_month(name: str) -> int:
    """Return the number of a month, 1 to 12; 0 if the name is unknown, or may be short for several months."""
    key = _simplify(name)
    found = [number for number, names in enumerate(_MONTHS, 1) if any(each.startswith(key) for each in names)]
    return found[0] if len(found) == 1 and len(key) >= 3 else 0


def _simplify(name: str) -> str:
    """Return a name in lower case without accents."""
    letters = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


_MONTHS = tuple(_simplify(names).split() for names in _NAMES)
