"""YAML files in which a key stands twice, or that are no YAML: told with file, line and what to do."""

from pathlib import Path

import pytest

from convmodel.training.config import check_duplicate_keys


def check(folder: Path, content: str | bytes) -> None:
    path = folder / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    check_duplicate_keys(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing but a comment\n",
        "just a text",
        "a: 1\nb: 2\n",
        "a: {x: 1}\nb: {x: 1}\n",
        "a:\n  x: 1\nx: 1\n",
        "- {a: 1}\n- {a: 1}\n",
        "1: number\n'1': text\n",
        "a: &shared {x: 1}\nb: *shared\nc: *shared\n",
        "a: &itself [*itself]\n",
        "? [1, 2]\n: list\n? [1, 2, 3]\n: list\n",
        "挨拶: こんにちは\n",
    ],
)
def test_a_file_without_a_key_twice_passes(tmp_path: Path, content: str) -> None:
    check(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "key", "second", "first"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3, 1),
        ("a: 1\n'a': 1\n", "a", 2, 1),
        ("model:\n  x: 1\n  deep:\n    y: 1\n    z: 1\n    y: 2\n", "y", 6, 4),
        ("- a: 1\n- b: 1\n  c: 1\n  b: 1\n", "b", 4, 2),
        ("x: {a: 1, b: 2, a: 1}\n", "a", 1, 1),
        ("a: 1\na: 2\na: 3\n", "a", 2, 1),
        ("true: 1\nb: 2\ntrue: 3\n", "true", 3, 1),
    ],
)
def test_a_key_that_stands_twice_in_a_mapping_is_told_with_both_lines(
    tmp_path: Path, content: str, key: str, second: int, first: int
) -> None:
    with pytest.raises(ValueError) as error:
        check(tmp_path, content)
    assert str(error.value) == (
        f"{tmp_path}/config.yaml:{second}: the key {key!r} stands here and in line {first}; "
        "remove one (was --print_config appended with >> to a file that had a config?)"
    )


def test_a_config_that_was_appended_to_itself_is_refused(tmp_path: Path) -> None:
    config = "# a comment\nseed_everything: 1\nmodel:\n  learning_rate: 0.1\n"
    with pytest.raises(ValueError, match=r"config\.yaml:\d+: the key '\w+' stands here and in line \d+; remove one"):
        check(tmp_path, config + config)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: [1, 2\nb: 3\n", r"config\.yaml:\d: is not YAML \(.+\); correct it there or just before"),
        ("a: 1\n\tb: 2\n", r"config\.yaml:2: is not YAML"),
        ("a: *unknown\n", r"config\.yaml:1: is not YAML \(found undefined alias 'unknown'\)"),
        ("a: 1\n---\nb: 1\n", r"config\.yaml:2: is not YAML \(but found another document\)"),
        ("a: \x00\n", r"config\.yaml: is not YAML \("),
        (b"a: \xff\n", r"config\.yaml: is not UTF-8 \(byte 4\); save it as UTF-8"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        check(tmp_path, content)
    assert "\n" not in str(error.value)
    assert type(error.value) is ValueError


def test_a_missing_file_is_told_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no such config file; make one with --print_config > "):
            check_duplicate_keys(path)
