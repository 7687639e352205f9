"""Readers of files with a given content, and the examples of formats in the docs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.chat_format import ChatFormat
from convmodel.data.conversation import ConversationReader
from convmodel.data.formats.conversations import FILE_FORMATS
from convmodel.data.selection_example import SelectionReader

UBUNTU_TEST = (
    "Context,Ground Truth Utterance,Distractor_0,Distractor_1\n"
    '"a , b __eou__ c __eou__ __eot__ d __eou__ __eot__ ","e , f __eou__ g __eou__",h __eou__,"i ""j"" __eou__"\n'
)

WITHOUT_EXAMPLE = {"parquet", "cornell"}
"""Formats that have no example in the docs."""

DOCS = Path(__file__).parents[2] / "docs" / "conversation-files.md"
EXAMPLES: dict[str, str] = dict(
    re.findall(r"^```(\w+)\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
"""The example of each format in the docs. In chats Bo replies."""


def example_options(format: str) -> dict[str, Any]:
    """The options with which the example of a format is read."""
    file_format = FILE_FORMATS[format]
    return {"me": "Bo"} if isinstance(file_format, ChatFormat) and file_format.me is None else {}


MakeReader = Callable[..., ConversationReader]
MakeChoices = Callable[..., SelectionReader]


@pytest.fixture
def reader(tmp_path: Path) -> MakeReader:
    def make(content: str | bytes, *, name: str = "conversations", **options: Any) -> ConversationReader:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ConversationReader(path, **options)

    return make


@pytest.fixture
def choices(tmp_path: Path) -> MakeChoices:
    def make(content: str | bytes, *, name: str = "choices", **options: Any) -> SelectionReader:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return SelectionReader(path, **options)

    return make
