"""Names of persons: what is the same name, and which names resemble it."""

import pytest

from convmodel.data.people import find_similar, is_same_person, strip_marks


@pytest.mark.parametrize(
    ("sender", "me"),
    [
        *(("Bo Lee", " bo  lee"), ("Bo\u00a0Lee", "Bo Lee"), ("Jose\u0301", "José"), ("Strauß", "STRAUSS")),
        *(("İpek", "ipek"), ("~\u202fBo", "Bo"), ("Bo", "~ Bo"), ("\u202a+49 171 7654321\u202c", "+491717654321")),
        *(("+1 (555) 123-4567", "0015551234567"), ("Bo 🐻", "bo 🐻")),
    ],
)
def test_one_name_in_two_writings(sender: str, me: str) -> None:
    assert is_same_person(sender, me)


@pytest.mark.parametrize(
    ("sender", "me"),
    [("Bo", None), ("Bo", ""), ("Bo", "Bo Lee"), ("José", "Jose"), ("12", "1 2")],
)
def test_other_names(sender: str, me: str | None) -> None:
    assert not is_same_person(sender, me)


def test_a_similar_name_is_found() -> None:
    assert find_similar(["Ida", "José Lee"], "jose") == "José Lee"
    assert find_similar(["Ida"], "Bo") is None and find_similar(["Ida"], "") is None


def test_marks_of_direction_are_removed() -> None:
    assert strip_marks("\u200e @\u2068Bo\u2069 ") == "@Bo"
