"""The two sides of named speakers, and names and texts that look like those of others."""

import random

import pytest

from convmodel.data.sides import Part, SpokenSide, alternate, make_sides


def test_a_group_is_named_and_the_one_who_replies_is_named_apart() -> None:
    sides = make_sides(["a", "b", "c", "d"], ["Ida", "Tom", "Eve", "Tom"], "Tom")
    assert sides == [
        SpokenSide(False, (Part("Ida:", " a"),)),
        SpokenSide(True, (Part("Tom:", " b"),)),
        SpokenSide(False, (Part("Eve:", " c"),)),
        SpokenSide(True, (Part("Tom:", " d"),)),
    ]
    assert [side.shown for side in sides] == ["Ida: a", "b", "Eve: c", "d"] and sides[0].said == "a"


def test_two_people_are_not_named_and_their_texts_stay_as_they_are() -> None:
    sides = make_sides(["a\nIda: b", "c", "d"], ["Ida", "Ida", "Tom"], "Tom")
    assert sides == [SpokenSide(False, (Part("", "a\nIda: b\nc"),)), SpokenSide(True, (Part("", "d"),))]


def test_a_role_is_no_name() -> None:
    sides = make_sides(["a", "b", "c"], ["Ida", "assistant", "Eve"], "assistant")
    assert sides[1] == SpokenSide(True, (Part("", "b"),)) and sides[0].parts[0].words == "Ida:"


@pytest.mark.parametrize(
    "line_break", ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_no_line_of_a_text_but_its_first_begins_at_the_margin(line_break: str) -> None:
    (side,) = alternate([f"a{line_break}Ida: b{line_break} c{line_break}{line_break}d", "e"], ["Tom", "Ida"], "Eve")
    assert side == f"Tom: a{line_break} Ida: b{line_break} c{line_break} {line_break} d\nIda: e"


@pytest.mark.parametrize("seed", range(30))
def test_the_names_at_the_margin_are_those_of_the_speakers(seed: int) -> None:
    source = random.Random(seed)
    names = [source.choice(["Ida", "Tom", "Eve", "Ida: hi", "A B"]) for _ in range(6)]
    pieces = ["a", "\n", "Ida: ", "\r", "Tom:", " ", "\u2028", "b"]
    turns = ["x" + "".join(source.choices(pieces, k=8)) for _ in names]
    (side,) = alternate(turns, names, "Bo")
    margin = [line.partition(":")[0] for line in side.splitlines() if line[:1] not in ("", " ")]
    assert margin == [" ".join(name.replace(":", " ").split()) for name in names]
