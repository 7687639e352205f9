"""The formats of conversations: their names, and their examples in the docs."""

import re
from pathlib import Path
from typing import Any

from convmodel.data.formats.conversations import FILE_FORMATS

DOCS = Path(__file__).parents[3] / "docs" / "conversation-files.md"


def test_the_examples_in_the_docs_are_what_they_say(reader: Any) -> None:
    text = DOCS.read_text(encoding="utf-8")
    examples = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    seen = [format for format, content in examples if format in FILE_FORMATS]
    assert set(seen) == FILE_FORMATS.keys() - {"parquet"}
    for format, content in examples:
        if format in FILE_FORMATS:
            made = reader(content, me="Bo" if format == "whatsapp" else None)
            assert made.format == format
            assert all(len(conversation.turns) >= 2 for conversation in made)


def test_every_format_has_its_own_names() -> None:
    assert [each.name for each in FILE_FORMATS.values()] == list(FILE_FORMATS)
    suffixes = [suffix for each in FILE_FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
