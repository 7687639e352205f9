"""A folder that is a lexical selector and its candidates."""

from pathlib import Path

import pytest

from convmodel.models.selection.fused_selector import FusedSelector
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.index.lexical_folder import lexical_selector, save_lexical
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector import Selector
from tests.models.selection.index.candidates import TEXTS, given


def test_its_statistics_are_those_of_all_its_candidates(tmp_path: Path) -> None:
    build_index(lexical_selector(tmp_path), given(TEXTS[:10]), tmp_path)
    assert save_lexical(tmp_path).fusion.statistics == WordStatistics.of(TEXTS[:10])
    build_index(lexical_selector(tmp_path), given(TEXTS), tmp_path, append=True)
    save_lexical(tmp_path)
    loaded = Selector.from_pretrained(tmp_path)
    assert isinstance(loaded, FusedSelector) and loaded.fusion.statistics == WordStatistics.of(TEXTS)
    assert (loaded.kind, loaded.parameters(), loaded.dtype) == ("lexical", 3, "float32")


def test_a_new_one_replaces_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists and is not an index"):
        build_index(lexical_selector(tmp_path), given(), tmp_path)
