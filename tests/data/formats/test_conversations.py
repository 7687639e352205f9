"""The formats of conversations: their names, and their examples in the docs."""

from typing import Any

import pytest

from convmodel.data.formats.conversations import FILE_FORMATS
from tests.data.conftest import EXAMPLES, WITHOUT_EXAMPLE, example_options


def test_every_format_has_an_example_in_the_docs() -> None:
    assert EXAMPLES.keys() & FILE_FORMATS.keys() == FILE_FORMATS.keys() - WITHOUT_EXAMPLE


@pytest.mark.parametrize("format", sorted(EXAMPLES.keys() & FILE_FORMATS.keys()))
def test_the_examples_in_the_docs_are_what_they_say(reader: Any, format: str) -> None:
    made = reader(EXAMPLES[format], **example_options(format))
    assert made.format == format
    assert all(len(conversation.turns) >= 2 for conversation in made)


def test_every_format_has_its_own_names() -> None:
    assert [each.name for each in FILE_FORMATS.values()] == list(FILE_FORMATS)
    suffixes = [suffix for each in FILE_FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
