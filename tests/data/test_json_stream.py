"""JSON of any layout, value by value: the values, their lines and paths, and damage."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from convmodel.data.formats.base import Item
from convmodel.data.json_stream import read_values, take_depth


def read(content: str | bytes, depth: int, *, size: int = 7, limit: int = 2**20) -> list[Item]:
    raw = content.encode() if isinstance(content, str) else content
    blocks = [raw[i : i + size] for i in range(0, len(raw), size)]
    return list(read_values(blocks, take_depth(depth), limit=limit, noun="conversation"))


def random_value(rng: random.Random, depth: int = 0) -> Any:
    choice = rng.randrange(8 if depth < 4 else 5)
    if choice < 5:
        text = "".join(rng.choices('a"\\[]{}\n,:é😀 ', k=rng.randrange(9)))
        return [None, True, rng.random(), text, -3][choice]
    if choice < 7:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {f'{rng.choice("ab{é")}{i}"': random_value(rng, depth + 1) for i in range(rng.randrange(4))}


def test_values_are_those_of_the_library_in_any_layout_and_blocks_of_any_size() -> None:
    rng = random.Random(1)
    for _ in range(500):
        value = [random_value(rng) for _ in range(rng.randrange(4))]
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
        found = read(text, 1, size=rng.randrange(1, 9))
        assert [item.value for item in found] == value
        assert [item.path for item in found] == [(i,) for i in range(len(value))]
        assert all(item.problem is None for item in found)


def test_a_value_is_named_by_the_line_on_which_it_begins() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = f'{end}[{{"a":{end}1}},{end}{end}[2{end}], 3]{end}{{}}'
        assert [item.number for item in read(text, 1)] == [2, 5, 6]
    assert [(item.number, item.value) for item in read("1\n[2]\n{}", 0)] == [(1, 1), (2, [2]), (3, {})]


def test_values_deeper_down_are_taken_with_their_paths() -> None:
    text = '{"version": 1, "data": [[1, 2], {"b": {}}], "none": []}'
    assert [(item.path, item.value) for item in read(text, 2)] == [
        *((("version",), 1), (("data", 0), [1, 2]), (("data", 1), {"b": {}})),
    ]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"a": NaN}', "NaN is a number that cannot"),
        ("{'a': 1}", "not JSON: .*looks like Python"),
        ('{"a" 1}', "not JSON: expecting ':'"),
        ('["un\nclosed]', "not JSON: "),
        ('{"a": [1}', "not JSON: "),
        (b'"\xff"'.decode("latin-1"), "not utf-8: character 2 of the value cannot be decoded; save the file as UTF-8"),
        ('"' + "x" * 200 + '"', "the value is longer than max_line_bytes=100"),
        ("[" * 40 + "]" * 39 + "}" + "]", "not JSON"),
        ("oops", "not JSON: expecting value at column 1, found 'oops'"),
    ],
)
def test_damage_inside_of_a_value_costs_that_value(bad: str, told: str) -> None:
    import re

    first, broken, last = read(f"[1,\n{bad}\n, 2]".encode("latin-1"), 1, limit=100)
    assert (first.value, last.value, broken.number) == (1, 2, 2)
    assert broken.problem and re.match(told, broken.problem), broken.problem


@pytest.mark.parametrize(
    "text", ["[1, 2", "[1, 2}", "[1 2]", '[1, {"a": 2]', "[1, ,2]", "[1] ]", '{"a": 1, b}', "[1, :"]
)
def test_damage_between_values_ends_the_file_with_a_problem(text: str) -> None:
    assert read(text, 1)[-1].problem


def test_a_list_of_100_megabytes_is_never_held() -> None:
    def blocks() -> Iterator[bytes]:
        yield b'["a", "'
        for _ in range(400):
            yield b"x" * 2**18
        yield b'", '
        for _ in range(50_000):
            yield b'{"turns": ["a", "b"]}, '
        yield b"3]"

    tracemalloc.start()
    try:
        count = sum(item.problem is None for item in read_values(blocks(), take_depth(1), limit=2**20, noun="x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_002 and peak < 6 * 2**20
