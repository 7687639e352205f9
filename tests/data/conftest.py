"""The content of a file in, a reader of it out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationReader

MakeReader = Callable[..., ConversationReader]


@pytest.fixture
def reader(tmp_path: Path) -> MakeReader:
    def make(content: str | bytes, *, name: str = "conversations", **options: Any) -> ConversationReader:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ConversationReader(path, **options)

    return make
