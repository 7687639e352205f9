"""docs/document-files.md, executed: its Python as it stands, its examples read."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from convmodel.data.document import DocumentReader, format_meta
from convmodel.data.formats.documents import FILE_FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "document-files.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```([\w-]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_python_of_the_docs_prints_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    said = io.StringIO()
    with redirect_stdout(said):
        for language, code in BLOCKS:
            if language == "python":
                exec(code, names)
    lines = said.getvalue().splitlines()
    assert len(lines) == 2
    assert all(f"\n    {line}\n" in PAGE for line in lines)


@pytest.mark.parametrize(
    ("language", "format", "documents"), [("jsonl", "jsonl", 4), ("literals", "python", 2), ("text", "text", 2)]
)
def test_the_examples_in_the_docs_are_what_they_say(tmp_path: Path, language: str, format: str, documents: int) -> None:
    [content] = [content for name, content in BLOCKS if name == language]
    path = tmp_path / ("x.txt" if format == "text" else "x")
    path.write_text(content, encoding="utf-8")
    reader = DocumentReader(path)
    found = list(reader)
    assert (reader.format, len(found)) == (format, documents)
    if format == "jsonl":
        assert format_meta(found[-1].meta) == "topic: Cats, dogs\nyear: 1999"


def test_every_format_is_told() -> None:
    assert all(f"`{name}`" in PAGE for name in FILE_FORMATS)
