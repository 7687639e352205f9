"""Files of a selector's folder, and contents that are refused."""

import json
from pathlib import Path

import pytest

from convmodel.models.selection.selector_files import HOMES, SELECTOR, class_of, read_config, read_weights


@pytest.mark.parametrize("kind", HOMES)
def test_each_kind_has_a_class_of_that_kind(kind: str) -> None:
    assert class_of(kind).kind == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"selector\.json:1: is not JSON"),
        ("[]", r"selector\.json: holds '\[\]'"),
        (
            '{"kind": "tree", "options": {}}',
            r"selector\.json: .* \(kind 'tree'; known are bi-encoder, ",
        ),
        ('{"kind": ["tree"], "options": {}}', r"selector\.json: is not what this version saves; .* \(kind \['tree'\];"),
        (
            '{"kind": "convert", "options": []}',
            r"selector\.json: .* \(it has no options\)",
        ),
    ],
)
def test_a_config_with_other_contents_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / SELECTOR).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)
    (tmp_path / SELECTOR).write_text(json.dumps({"kind": "convert", "options": {}}))
    assert read_config(tmp_path) == {"kind": "convert", "options": {}}


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        read_weights(tmp_path)
