"""Inspect conversation files: statistics, findings, and overlap between files."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from convmodel.data.conversation import ConversationReader
from convmodel.models.folder import checked_source, load_config
from convmodel.reports.inspection.duplicates import Duplicates, FilePair, Repeats, find_duplicates
from convmodel.reports.inspection.findings import KINDS, Finding, FindingExample
from convmodel.reports.inspection.minhash import Fingerprints
from convmodel.reports.inspection.scan import FileReport, FileScan
from convmodel.reports.inspection.scripts import CharacterClasses
from convmodel.reports.inspection.settings import VOCABULARY, WINDOW, InspectionSettings
from convmodel.reports.inspection.token_counts import LEARNED_FROM, TokenCounter, learn_tokenizer, sample_texts
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

Progress = Callable[[str], Callable[[int], object]]
"""Starts a progress display with a description; the result is called with the number of items done since the last
call."""


@dataclass(frozen=True)
class Ruler:
    """The tokenizer and the window that lengths are measured with.

    Args:
        tokenizer: the tokenizer whose tokens are counted.
        max_length: tokens of a window.
        name: description of the tokens for a person.
    """

    tokenizer: ConversationTokenizer
    max_length: int
    name: str

    @property
    def control_tokens(self) -> frozenset[str]:
        """The strings of the tokenizer's control tokens."""
        return frozenset(map(str, self.tokenizer.hf_tokenizer.all_special_tokens))


@dataclass(frozen=True)
class PairReport:
    """The overlap of two files.

    Args:
        one: the earlier file, as it was given.
        other: the later file.
        leaks: conversations of `other` that are in `one` word for word, and in no file before it.
        near_leaks: conversations of `other` that are nearly the same as one in `one`.
        shared_replies: replies of `other` that are in `one` with all turns before them.
        conversations: number of conversations in `other`.
        replies: number of replies in `other`.
    """

    one: str
    other: str
    leaks: int
    near_leaks: int
    shared_replies: int
    conversations: int
    replies: int


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting some files.

    Args:
        files: one report for each file.
        pairs: the overlap of each pair of files.
        findings: findings of all files, problems first.
        ruler: the tokenizer and the window that lengths were measured with.
        settings: the settings of the inspection.
        duplicates: locations of everything that is repeated.
    """

    files: tuple[FileReport, ...]
    pairs: tuple[PairReport, ...]
    findings: tuple[Finding, ...]
    ruler: Ruler
    settings: InspectionSettings
    duplicates: Duplicates

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that make `--strict` fail."""
        return tuple(finding for finding in self.findings if finding.severity == "problem")


def inspect_files(sources: Sequence[str], settings: InspectionSettings, *, progress: Progress) -> Inspection:
    """Inspect conversation files.

    Each file is read once. Without a model the beginning of the first is read once more to learn a vocabulary.

    Args:
        sources: paths or addresses, in any format that `ConversationReader` reads.
        settings: the settings of the inspection.
        progress: displays the progress.

    Raises:
        ValueError, OSError: when a file cannot be read at all or is given twice, or the model cannot be loaded.
    """
    repeated = [source for index, source in enumerate(sources) if _is_same_file(source, sources[:index])]
    if repeated:
        raise ValueError(f"{repeated[0]}: is given twice; everything in it would stand there twice")
    readers = [ConversationReader(source, on_error="skip") for source in sources]
    ruler = make_ruler(readers[0], settings)
    counter = TokenCounter(ruler.tokenizer)
    classes = CharacterClasses()
    fingerprints = Fingerprints()
    reports = []
    for index, reader in enumerate(readers):
        scan = FileScan(
            reader,
            counter,
            max_length=ruler.max_length,
            control_tokens=ruler.control_tokens,
            classes=classes,
        )
        with _rare_collections():
            scan.run(fingerprints, file=index, progress=progress(reader.source))
        reports.append(scan.report(tokens_per_batch=settings.tokens_per_batch))
    duplicates = find_duplicates(fingerprints, files=len(readers), near=settings.near)
    in_files = (finding for report in reports for finding in report.findings)
    findings = [*in_files, *_duplicate_findings(duplicates, readers, reports)]
    order = list(KINDS)
    return Inspection(
        tuple(reports),
        tuple(_pair_reports(duplicates, reports)),
        tuple(sorted(findings, key=lambda finding: order.index(finding.kind))),
        ruler,
        settings,
        duplicates,
    )


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Run the garbage collector rarely: its searches of millions of short-lived strings take a tenth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def make_ruler(first: ConversationReader, settings: InspectionSettings) -> Ruler:
    """Return the tokenizer and the window of the model, or a vocabulary learned from the first file."""
    if settings.model is None:
        tokenizer = learn_tokenizer(sample_texts(first), vocab_size=VOCABULARY)
        name = f"a vocabulary of {len(tokenizer):,} learned from the first {LEARNED_FROM // 10**6} MB of {first.source}"
        return Ruler(tokenizer, settings.max_length or WINDOW, name)
    source = checked_source(settings.model)
    positions = int(load_config(source).n_positions)
    if settings.max_length is not None and settings.max_length > positions:
        raise ValueError(f"max_length={settings.max_length}, but {settings.model} reads {positions} tokens at most")
    tokenizer = ConversationTokenizer.from_pretrained(source)
    return Ruler(tokenizer, settings.max_length or positions, f"the tokenizer of {settings.model}")


def _is_same_file(source: str, others: Sequence[str]) -> bool:
    return source in others or any(
        os.path.exists(source) and os.path.exists(other) and os.path.samefile(source, other) for other in others
    )


def _duplicate_findings(
    duplicates: Duplicates, readers: Sequence[ConversationReader], reports: Sequence[FileReport]
) -> Iterator[Finding]:
    for pair, repeats in duplicates.exact.items():
        yield _pair_finding("duplicate" if pair[0] == pair[1] else "leak", pair, repeats, readers, reports)
    for pair, repeats in duplicates.near.items():
        yield _pair_finding("near_duplicate" if pair[0] == pair[1] else "near_leak", pair, repeats, readers, reports)
    for file, repeats in duplicates.beginnings.items():
        locations = (readers[file].location(repeat.location.line) for repeat in repeats.examples)
        examples = tuple(FindingExample(location, "") for location in locations)
        yield Finding("beginning", readers[file].source, repeats.count, reports[file].conversations, examples)
    for (one, other), repeats in duplicates.replies.items():
        yield Finding(
            "shared_reply",
            readers[other].source,
            repeats.count,
            duplicates.replies_of[other],
            other=readers[one].source,
        )


def _pair_finding(
    kind: str,
    pair: FilePair,
    repeats: Repeats,
    readers: Sequence[ConversationReader],
    reports: Sequence[FileReport],
) -> Finding:
    examples = tuple(
        FindingExample(
            readers[repeat.location.file].location(repeat.location.line),
            f"{_likeness(kind, repeat.similarity)} {readers[repeat.earlier.file].location(repeat.earlier.line)}",
        )
        for repeat in repeats.examples
    )
    one, other = (readers[index].source for index in pair)
    return Finding(kind, other, repeats.count, reports[pair[1]].conversations, examples, other=one)


def _likeness(kind: str, similarity: float) -> str:
    if kind in ("duplicate", "leak"):
        return "as"
    return "same words as" if similarity == 1 else f"{similarity:.0%} like"


def _pair_reports(duplicates: Duplicates, reports: Sequence[FileReport]) -> Iterator[PairReport]:
    none = Repeats()
    for pair in combinations(range(len(reports)), 2):
        one, other = (reports[index] for index in pair)
        yield PairReport(
            one.source,
            other.source,
            leaks=duplicates.exact.get(pair, none).count,
            near_leaks=duplicates.near.get(pair, none).count,
            shared_replies=duplicates.replies.get(pair, none).count,
            conversations=other.conversations,
            replies=duplicates.replies_of[pair[1]],
        )
