"""Small inputs in the forms in which people have their conversations, and what should come of them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError, ConversationReader

Turns = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Trial:
    """An input and what should come of it.

    Args:
        name: the name of the test.
        content: the content of a file, or the contents of several by name. What is neither text nor bytes becomes JSON.
        turns: the conversations.
        file: the name of the file.
        source: the source in the folder of the files, "" for the folder; the file if None.
        error: a pattern of the error; with turns, of the first problem of a reader that skips.
        skipped: the number of problems.
        summary: a pattern of the report's summary.
        persona: the persona of the first conversation.
        options: the options of the reader.
    """

    name: str
    content: Any
    turns: Turns | None = None
    file: str = "conversations"
    source: str | None = None
    error: str | None = None
    skipped: int | None = None
    summary: str | None = None
    persona: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def encode(content: Any) -> bytes:
    """Return the content of a file."""
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()


def parametrize(trials: Sequence[Trial]) -> pytest.MarkDecorator:
    """Return the parameters of a test, one for each trial."""
    return pytest.mark.parametrize("trial", [pytest.param(trial, id=trial.name) for trial in trials])


def check(trial: Trial, folder: Path) -> None:
    """Read the files of a trial, and compare what comes of them with what should come."""
    several = isinstance(trial.content, Files)
    for name, content in (trial.content if several else {trial.file: trial.content}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(content))
    source = folder / (trial.source if trial.source is not None else "" if several else trial.file)
    if trial.turns is None:
        with pytest.raises((ConversationFileError, ValueError), match=trial.error) as caught:
            list(ConversationReader(str(source), **trial.options))
        assert "\n" not in str(caught.value)
        return
    skips: dict[str, Any] = {"on_error": "skip"} if trial.skipped else {}
    reader = ConversationReader(str(source), **trial.options, **skips)
    found = list(reader)
    assert [each.turns for each in found] == [tuple(turns) for turns in trial.turns]
    assert trial.persona is None or list(found[0].persona) == list(trial.persona)
    assert reader.report.skipped == (trial.skipped or 0), reader.report.problems
    assert trial.error is None or re.search(trial.error, reader.report.problems[0]), reader.report.problems
    assert trial.summary is None or re.search(trial.summary, reader.report.summary()), reader.report.summary()


class Files(dict[str, Any]):
    """The contents of several files by name."""
