"""The kinds of selectors, and damaged folders."""

import json
from pathlib import Path

import pytest

from convmodel.models.selection.registry import HOMES, SELECTOR, class_of, load_weights, read_config


@pytest.mark.parametrize("kind", HOMES)
def test_each_kind_has_a_class_of_that_kind(kind: str) -> None:
    assert class_of(kind).kind == kind


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "tree", "options": {}}', '{"kind": "convert", "options": []}'])
def test_another_file_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / SELECTOR).write_text(text)
    with pytest.raises(ValueError, match=r"selector\.json: is not what this version saves"):
        read_config(tmp_path)
    (tmp_path / SELECTOR).write_text(json.dumps({"kind": "convert", "options": {}}))
    assert read_config(tmp_path) == {"kind": "convert", "options": {}}


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        load_weights(tmp_path)
