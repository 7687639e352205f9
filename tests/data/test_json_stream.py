"""JSON of any layout, value by value: the values, their lines and paths, and damage."""

import json
import random
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from convmodel.data.encodings import Utf8Stream
from convmodel.data.formats.base import Item
from convmodel.data.json_stream import read_values, take_depth


class Blocks:
    """A stream of given blocks."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def read(self, _: int) -> bytes:
        return next(self._blocks, b"")


def values(blocks: Iterable[bytes], depth: int, *, limit: int = 2**20) -> Iterator[Item]:
    return read_values(Utf8Stream(Blocks(blocks)), take_depth(depth), limit=limit)  # type: ignore[arg-type]


def read(content: str | bytes, depth: int, *, size: int = 7, limit: int = 2**20) -> list[Item]:
    raw = content.encode() if isinstance(content, str) else content
    return list(values((raw[i : i + size] for i in range(0, len(raw), size)), depth, limit=limit))


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
        ('"' + "x" * 200 + '"', "the value is longer than max_line_bytes=100; split it or raise the limit"),
        (json.dumps(["x", {"y\\": ['"'] * 99}]), "the value is longer than max_line_bytes=100"),
        ('{"x": "' + '\\"' * 200 + '", "y": 1}', "the value is longer than max_line_bytes=100"),
        ('{"a": 1, "b": {"c": 2, "c": 3}}', "the key 'c' appears twice in one object; keep one of them"),
    ],
)
def test_a_value_that_is_not_allowed_costs_only_itself(bad: str, told: str) -> None:
    first, broken, last = read(f"[1,\n{bad}\n, 2]", 1, limit=100)
    assert (first.value, last.value, broken.number, broken.path) == (1, 2, 2, (1,))
    assert broken.problem and broken.problem.startswith(told)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"a": NaN}', "NaN is a number that cannot be written as JSON, REST; write null"),
        ("[-Infinity]", "-Infinity is a number that cannot be written as JSON, REST; write null"),
        ("[-1e999]", "the number -1e999 is too large, REST; write it as a string"),
        ("[" + "9" * 5000 + "]", "the number 9{30,}[9.]* is too large, REST; write it as a string"),
        ("{'a': 1}", """not JSON: .*, found "'a'", REST; this looks like Python .*: write it with json.dumps"""),
        ('{"a": None}', "not JSON: .*, found 'None', REST; this looks like Python"),
        ('{"a" 1}', r"not JSON: object key and value must be separated by a colon \(':'\), found '1', REST; repair"),
        ('["un\nclosed]', "not JSON: .*, REST; repair the file, or write one value a line as JSON Lines"),
        ('{"a": [1}', "not JSON: "),
        (
            '"é\xff"'.encode().replace(b"\xc3\xbf", b"\xff").decode("latin-1"),
            "not UTF-8: byte 0x.. at offset [57], REST; ",
        ),
        ("[" * 40 + "]" * 39 + "}" + "]", "not JSON"),
        ("[" * 3000 + "]" * 3000, "the JSON is nested too deeply, REST; repair the file"),
        ("oops", "not JSON: .*, found 'oops', REST; repair"),
    ],
)
def test_what_is_not_json_ends_the_file(bad: str, told: str) -> None:
    first, broken = read(f"[1,\n{bad}\n, 2]".encode("latin-1"), 1, size=2**16)
    assert (first.value, broken.number, broken.value, broken.path) == (1, 2, None, ())
    assert broken.problem and re.match(told.replace("REST", "and the rest of the file is not read"), broken.problem)


@pytest.mark.parametrize(
    "text", ["[1, 2", "[1, 2}", "[1 2]", '[1, {"a": 2]', "[1, ,2]", "[1] ]", '{"a": 1, b}', "[1, :", "-", '["a']
)
def test_damage_between_values_ends_the_file_with_a_problem(text: str) -> None:
    assert read(text, 1)[-1].problem


@pytest.mark.parametrize("size", [1, 5, 6, 7, 11, 12, 13, 100])
def test_escapes_are_those_of_the_library_wherever_blocks_end(size: int) -> None:
    halves = ["\\ud83d", "\\ude00", "\\\\", "\\\\ud83d", "x", "\\n", "é", "\\uD83D\\uDE00"]
    rng = random.Random(size)
    text = "[" + ", ".join(f'"{"".join(rng.choices(halves, k=9))}"' for _ in range(200)) + "]"
    assert [item.value for item in read(text, 1, size=size)] == json.loads(text)


@pytest.mark.parametrize("text", ["", " \n\r\n", "\t"])
def test_an_empty_text_has_no_values(text: str) -> None:
    assert read(text, 1) == []


@pytest.mark.slow
def test_a_list_of_40_megabytes_is_never_held() -> None:
    def blocks() -> Iterator[bytes]:
        yield b'["a", "'
        for _ in range(160):
            yield b"x" * 2**18
        yield b'", '
        for _ in range(20_000):
            yield b'{"turns": ["a", "b"]}, '
        yield b"3]"

    tracemalloc.start()
    try:
        count = sum(item.problem is None for item in values(blocks(), 1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_002 and peak < 6 * 2**20
