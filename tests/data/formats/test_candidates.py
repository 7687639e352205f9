"""The formats of candidates, as they are recognised."""

from pathlib import Path

import pytest

from convmodel.data.candidates import CandidateReader


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("c", "Hello\nBye\n", "text"),
        ("c", '"Hi," she said.\n[laughs]\n', "text"),
        ("c", '"Hello"\n{"text": "Bye"}\n', "jsonl"),
        ("c", '["Hello",\n"Bye"]', "json"),
        ("c.json", '["Hello", "Bye"]', "json"),
        ("c", "id;text\n1;Hello\n", "csv"),
        ("c", "id\ttext\n1\tHello\n", "tsv"),
        ("c.csv", "text\nHello\n", "csv"),
        ("c", "text\nHello\n", "text"),
        ("c", "a text, and more\nHello, you\n", "text"),
    ],
)
def test_the_format_is_recognised(tmp_path: Path, name: str, text: str, format: str) -> None:
    (tmp_path / name).write_text(text)
    assert CandidateReader(tmp_path / name).format == format
