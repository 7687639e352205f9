"""Inspection of conversation files: statistics, findings, and overlap of files."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from convmodel.data.conversation import ConversationReader
from convmodel.data.options import ReadOptions
from convmodel.reports.inspection.duplicates import Duplicates, Repeats, find_duplicates
from convmodel.reports.inspection.findings import KINDS, Finding, FindingExample
from convmodel.reports.inspection.minhash import Fingerprints
from convmodel.reports.inspection.scan import FileReport, FileScan
from convmodel.reports.inspection.scripts import CharacterClasses
from convmodel.reports.inspection.settings import InspectionSettings
from convmodel.reports.inspection.token_counts import Ruler, make_ruler

Progress = Callable[[str], Callable[[int], object]]
"""Function that starts a progress display with a description, and returns the function that advances it by a number."""


@dataclass(frozen=True)
class PairReport:
    """Overlap of two files.

    Args:
        earlier: the file that is given first.
        later: the other file.
        leaks: number of conversations of `later` that are also in `earlier`, but not in a file before `earlier`.
        near_leaks: number of other conversations of `later` that are similar to one of `earlier`.
        shared_replies: number of replies of `later` that are also in `earlier`, with all turns before them.
        conversations: number of conversations of `later`.
        replies: number of replies of `later`.
    """

    earlier: str
    later: str
    leaks: int
    near_leaks: int
    shared_replies: int
    conversations: int
    replies: int


@dataclass(frozen=True)
class Inspection:
    """Result of the inspection of files.

    Args:
        files: report of each file.
        pairs: report of each pair of files.
        findings: findings of all files, problems first.
        ruler: tokenizer and window by which lengths were measured.
        settings: settings of the inspection.
        duplicates: repeated conversations and replies.
        read_options: options of the readers.
    """

    files: tuple[FileReport, ...]
    pairs: tuple[PairReport, ...]
    findings: tuple[Finding, ...]
    ruler: Ruler
    settings: InspectionSettings
    duplicates: Duplicates
    read_options: ReadOptions | None = None

    @cached_property
    def names(self) -> dict[str, str]:
        """Short name of each file, by its source; see `short_names`."""
        return short_names([report.source for report in self.files])

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings that make `--strict` fail."""
        return tuple(finding for finding in self.findings if finding.severity == "problem")


def short_names(sources: Sequence[str]) -> dict[str, str]:
    """Return the base name of each file, by its source; if two base names are equal, the whole sources."""
    last = [os.path.basename(source.split("?")[0].rstrip("/")) or source for source in sources]
    return {source: name if last.count(name) == 1 else source for source, name in zip(sources, last, strict=True)}


def inspect_files(
    sources: Sequence[str],
    settings: InspectionSettings,
    read_options: ReadOptions | None = None,
    *,
    progress: Progress,
) -> Inspection:
    """Inspect conversation files in any format that `ConversationReader` reads.

    Each file is read once. If the settings have no model, the beginning of the first file is also read to learn a
    vocabulary.

    Args:
        sources: the files.
        settings: settings of the inspection.
        read_options: options of the readers.
        progress: starts a progress display for a file.

    Raises:
        ValueError, OSError: if a file cannot be read or is given twice, or the model cannot be loaded.
    """
    repeated = [source for index, source in enumerate(sources) if _is_same_file(source, sources[:index])]
    if repeated:
        raise ValueError(f"{repeated[0]}: is given twice; give each file once")
    on_error = (read_options and read_options.on_error) or "skip"
    readers = [ConversationReader(source, read_options, on_error=on_error) for source in sources]
    ruler = make_ruler(readers[0], settings)
    classes = CharacterClasses()
    fingerprints = Fingerprints()
    reports = []
    for index, reader in enumerate(readers):
        scan = FileScan(reader, ruler, classes)
        with _rare_collections():
            scan.run(fingerprints, file=index, progress=progress(reader.source))
        reports.append(scan.report(tokens_per_batch=settings.tokens_per_batch))
    duplicates = find_duplicates(fingerprints, files=len(readers), near=settings.near)
    in_files = (finding for report in reports for finding in report.findings)
    findings = [*in_files, *_duplicate_findings(duplicates, readers, reports)]
    findings.sort(key=lambda finding: list(KINDS).index(finding.kind))
    pairs = _pair_reports(duplicates, reports)
    return Inspection(tuple(reports), tuple(pairs), tuple(findings), ruler, settings, duplicates, read_options)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Context manager in which the garbage collector runs rarely, because it takes a tenth of the time otherwise."""
    before = gc.get_threshold()
    frozen_before = gc.get_freeze_count() > 0
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not frozen_before:  # objects that the caller froze remain frozen
            gc.unfreeze()


def _is_same_file(source: str, others: Sequence[str]) -> bool:
    return source in others or any(
        os.path.exists(source) and os.path.exists(other) and os.path.samefile(source, other) for other in others
    )


def _duplicate_findings(
    duplicates: Duplicates, readers: Sequence[ConversationReader], reports: Sequence[FileReport]
) -> Iterator[Finding]:
    sources = [reader.source for reader in readers]
    for within, between, repeated in (
        ("duplicate", "leak", duplicates.exact),
        ("near_duplicate", "near_leak", duplicates.near),
    ):
        for (earlier, later), repeats in repeated.items():
            kind = within if earlier == later else between
            examples = tuple(
                FindingExample(
                    readers[later].location(repeat.line),
                    f"{_likeness(kind, repeat.similarity)} {readers[earlier].location(repeat.earlier_line)}",
                )
                for repeat in repeats.examples
            )
            total = reports[later].conversations
            yield Finding(kind, sources[later], repeats.count, total, examples, other=sources[earlier])
    for file, repeats in duplicates.beginnings.items():
        examples = tuple(FindingExample(readers[file].location(repeat.line), "") for repeat in repeats.examples)
        yield Finding("beginning", sources[file], repeats.count, reports[file].conversations, examples)
    for (earlier, later), repeats in duplicates.replies.items():
        total = duplicates.replies_of[later]
        yield Finding("shared_reply", sources[later], repeats.count, total, other=sources[earlier])


def _likeness(kind: str, similarity: float) -> str:
    if kind in ("duplicate", "leak"):
        return "as"
    return "same words as" if similarity == 1 else f"{similarity:.0%} like"


def _pair_reports(duplicates: Duplicates, reports: Sequence[FileReport]) -> Iterator[PairReport]:
    none = Repeats()
    for pair in combinations(range(len(reports)), 2):
        earlier, later = (reports[index] for index in pair)
        yield PairReport(
            earlier.source,
            later.source,
            leaks=duplicates.exact.get(pair, none).count,
            near_leaks=duplicates.near.get(pair, none).count,
            shared_replies=duplicates.replies.get(pair, none).count,
            conversations=later.conversations,
            replies=duplicates.replies_of[pair[1]],
        )
