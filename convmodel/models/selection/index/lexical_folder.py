"""Folders that are both a lexical selector and the index of its candidates."""

import os
from pathlib import Path

from convmodel.data.candidates import questions_of
from convmodel.models.selection.fused_selector import FusedSelector
from convmodel.models.selection.fusion import Fusion
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector_files import FUSION, LEXICAL, write_config


def lexical_selector(folder: str | os.PathLike[str]) -> FusedSelector:
    """Return the lexical selector of a folder, or a new one with default weights if the folder has none."""
    if (Path(folder) / FUSION).is_file():
        return FusedSelector.read(None, Path(folder))
    return FusedSelector(None, Fusion.lexical(WordStatistics.of([])))


def save_lexical(folder: str | os.PathLike[str]) -> FusedSelector:
    """Write the lexical selector of an index into its folder, with the words of its candidates and of their questions.

    Returns:
        The selector.
    """
    selector = lexical_selector(folder)
    index = CandidateIndex.open(folder, selector)
    numbers = index.numbers()
    questions = [text for number in numbers for text in questions_of(index.metadata(number))]
    statistics = WordStatistics.of([*map(index.text, numbers), *questions])
    write_config(Path(folder), LEXICAL, {})
    selector.fusion.with_statistics(statistics).write(Path(folder))
    return lexical_selector(folder)
