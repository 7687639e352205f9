"""Folder of a corpus, which stores the plan of an unfinished corpus so that an interrupted run can be continued."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convmodel.data.atomic import atomic_file, check_folder_writable
from convmodel.data.containers import CONTAINER_SUFFIXES
from convmodel.data.corpus.dump import Dump, TurnLimits
from convmodel.data.corpus.filters import Filters
from convmodel.data.corpus.opensubtitles import OpenSubtitles
from convmodel.data.corpus.reddit import Reddit
from convmodel.data.corpus.steps import CorpusPlan
from convmodel.data.remote import file_size
from convmodel.data.sources import list_files

DUMPS: dict[str, Dump] = {dump.name: dump for dump in (Reddit(), OpenSubtitles())}
SUFFIXES = (".jsonl", ".json", ".txt", ".xml", "")
REPORT = "corpus.json"
VERSION = 1

_BUCKET = 256 * 2**20
_PACKED = 8
"""Assumed number of bytes of a compressed byte."""

_MOST_BUCKETS = 4_096


def open_folder(output: str, sources: Sequence[str], options: Mapping[str, Any]) -> CorpusPlan:
    """Return the plan of a corpus, and store it in the folder, so that an interrupted run can be continued.

    Args:
        options: the options of the command that decide what is written.

    Raises:
        FileExistsError: when the folder holds a finished corpus, or other files.
        FileNotFoundError: when there is no input file.
        ValueError: when an option is not allowed, or the folder holds steps of other options or files.
    """
    inputs = [file.path for source in sources for file in list_files(source, noun="dump", suffixes=SUFFIXES).files]
    plan = _make_plan(Path(output), inputs, options)
    plan.filters.check()
    described = json.dumps({"version": VERSION, "files": _sizes(inputs), **plan.describe()}, indent=1)
    file = plan.work / "plan.json"
    if (plan.output / REPORT).exists():
        raise FileExistsError(f"{output}: holds a finished corpus; choose another folder, or delete this one")
    if file.exists():
        if file.read_text(encoding="utf-8") != described:
            raise ValueError(
                f"{output}: holds an interrupted corpus of other options or files; repeat its command, choose another "
                "folder, or delete this one"
            )
        return plan
    if plan.output.exists() and os.listdir(plan.output):
        raise FileExistsError(f"{output}: holds other files; choose a new folder")
    check_folder_writable(output)
    with atomic_file(file) as fresh:
        fresh.write_text(described, encoding="utf-8")
    return plan


def finish(plan: CorpusPlan, report: Mapping[str, Any]) -> None:
    """Write the report of a corpus whose steps are finished, and remove their output."""
    with atomic_file(plan.output / REPORT) as fresh:
        fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(plan.work)


def _make_plan(output: Path, inputs: Sequence[str], options: Mapping[str, Any]) -> CorpusPlan:
    names = ("min_words", "max_words", "min_turns", "max_turns")
    limits = TurnLimits(**{name: options[name] for name in names})
    words = tuple(options["words"])
    return CorpusPlan(
        DUMPS[options["dump"]],
        tuple(inputs),
        output,
        options["buckets"] or default_buckets(inputs),
        Filters(limits, words, options["language"], options["certainty"]),
        (options["valid"], options["test"]),
        options["similarity"],
        options["format"],
    )


def default_buckets(inputs: Sequence[str]) -> int:
    """Return the number of buckets for files of these sizes, such that a bucket takes about 100 MB of memory."""
    sizes = (file_size(path) * (_PACKED if path.endswith(CONTAINER_SUFFIXES) else 1) for path in inputs)
    return min(_MOST_BUCKETS, max(16, sum(sizes) // _BUCKET))


def _sizes(inputs: Sequence[str]) -> dict[str, int]:
    """Return the size in bytes of each input file."""
    return {path: file_size(path) for path in inputs}
