"""Names of months, whole and shortened."""

import pytest

from convmodel.data.month_names import find_month


@pytest.mark.parametrize(
    ("names", "number"),
    [
        ("Jan January Januar Jänner ene enero janv janvier jan janeiro gen gennaio янв января", 1),
        ("Feb febrero févr février fev fevereiro febbraio februari фев февр февраля", 2),
        ("Mar March Mär März Mrz marzo mars março mrt maart мар марта", 3),
        ("apr abr abril avr avril aprile апр апреля", 4),
        ("May Mai mayo maio mag maggio mei мая май", 5),
        ("jun June Juni juin giu giugno июн июня", 6),
        ("jul JULY juil juillet lug luglio июл июля", 7),
        ("Aug August ago agosto août aou augustus авг августа", 8),
        ("Sep Sept September set setembro septiembre settembre сен сент сентября", 9),
        ("Oct Okt oktober out outubro ott ottobre окт октября", 10),
        ("Nov noviembre novembre ноя нояб ноября", 11),
        ("Dec Dez Dezember dic diciembre déc décembre дек декабря", 12),
        ("ju jui ma foo sty", 0),
    ],
)
def test_names_of_eight_languages(names: str, number: int) -> None:
    assert {name: find_month(name) for name in names.split()} == dict.fromkeys(names.split(), number)
