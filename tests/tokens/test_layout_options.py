"""The file with the options of a layout, and the values that are allowed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from convmodel.tokens.layout_options import LayoutOptions, read_layout_options, write_layout_options


def test_options_are_read_as_they_were_written(tmp_path: Path) -> None:
    options = LayoutOptions("chat_template", token_types=False, max_speakers=5, reasoning=True)
    write_layout_options(options, tmp_path / "conversation.json")
    assert read_layout_options(tmp_path / "conversation.json") == asdict(options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, 'this convmodel reads an object with "version": 1, "layout"'),
        ({"more": 1}, "save the model again"),
        ({"layout": "template"}, "conversation.json: layout='template'; allowed are auto, separators, chat_template"),
        ({"token_types": 1}, "token_types=1; allowed are true and false"),
        ({"max_speakers": 1}, "max_speakers=1; allowed are 2 to 64"),
    ],
)
def test_a_file_with_other_values_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "conversation.json"
    write_layout_options(LayoutOptions(), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_layout_options(file)
