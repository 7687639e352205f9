"""Files and settings in, everything that is to be said about them out: `inspect_files`."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from convmodel.data.conversation import ConversationReader
from convmodel.models.folder import checked_source, load_config
from convmodel.reports.inspection.duplicates import Duplicates, FilePair, Repeats, find_duplicates
from convmodel.reports.inspection.findings import KINDS, Example, Finding
from convmodel.reports.inspection.minhash import Fingerprints
from convmodel.reports.inspection.scan import FileReport, FileScan
from convmodel.reports.inspection.scripts import CharacterClasses
from convmodel.reports.inspection.settings import VOCABULARY, WINDOW, Settings
from convmodel.reports.inspection.token_counts import LEARNED_FROM, TokenCounter, learn_tokenizer, sample_texts
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

Progress = Callable[[str], Callable[[int], object]]
"""What is being done in; what is to be told how much more of it is done out."""


@dataclass(frozen=True)
class Ruler:
    """What lengths are measured with.

    Args:
        tokenizer: whose tokens are counted.
        max_length: tokens of a window.
        name: what the tokens are, for a person.
    """

    tokenizer: ConversationTokenizer
    max_length: int
    name: str

    @property
    def control_tokens(self) -> frozenset[str]:
        """The strings that the tokenizer's control tokens are written with."""
        return frozenset(map(str, self.tokenizer.hf_tokenizer.all_special_tokens))


@dataclass(frozen=True)
class PairReport:
    """What two files share.

    Args:
        one, other: the files, as they were given.
        leaks: conversations of `other` that are in `one` word for word, and in no file before it.
        near_leaks: those that are nearly in it.
        replies: replies of `other` that are in `one` with all turns before them.
        of: how many conversations `other` has.
        replies_of: and how many replies.
    """

    one: str
    other: str
    leaks: int
    near_leaks: int
    replies: int
    of: int
    replies_of: int


@dataclass(frozen=True)
class Inspection:
    """Everything that is to be said about some files.

    Args:
        files: one report each.
        pairs: what each two of them share.
        findings: of all files, problems first.
        ruler: what lengths were measured with.
        settings: what they were measured against.
        duplicates: where everything that stands there twice is.
    """

    files: tuple[FileReport, ...]
    pairs: tuple[PairReport, ...]
    findings: tuple[Finding, ...]
    ruler: Ruler
    settings: Settings
    duplicates: Duplicates

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings because of which `--strict` fails."""
        return tuple(finding for finding in self.findings if finding.severity == "problem")


def inspect_files(sources: Sequence[str], settings: Settings, *, progress: Progress) -> Inspection:
    """Looks at conversation files; each is read once, and the beginning of the first once more for a vocabulary.

    Args:
        sources: paths or addresses, of any format that `ConversationReader` reads.
        settings: what they are measured against.
        progress: shows a person how far it is.

    Raises:
        ValueError, OSError: when a file cannot be read at all, is given twice, or the model cannot be loaded.
    """
    again = [source for n, source in enumerate(sources) if _same_file(source, sources[:n])]
    if again:
        raise ValueError(f"{again[0]}: is given twice; everything in it would stand there twice")
    readers = [ConversationReader(source, on_error="skip") for source in sources]
    ruler = make_ruler(readers[0], settings)
    counter, classes, fingerprints = TokenCounter(ruler.tokenizer), CharacterClasses(), Fingerprints()
    reports = []
    for number, reader in enumerate(readers):
        scan = FileScan(
            reader,
            counter,
            max_length=ruler.max_length,
            control_tokens=ruler.control_tokens,
            classes=classes,
        )
        with _rare_collections():
            scan.run(fingerprints, file=number, progress=progress(reader.source))
        reports.append(scan.report(tokens_per_batch=settings.tokens_per_batch))
    found = find_duplicates(fingerprints, files=len(readers), near=settings.near)
    findings = [*(f for report in reports for f in report.findings), *_repeat_findings(found, readers, reports)]
    order = list(KINDS)
    return Inspection(
        tuple(reports),
        tuple(_pairs(found, reports)),
        tuple(sorted(findings, key=lambda finding: order.index(finding.kind))),
        ruler,
        settings,
        found,
    )


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Keeps the garbage collector from searching millions of short-lived strings for cycles: a tenth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def make_ruler(first: ConversationReader, settings: Settings) -> Ruler:
    """The tokenizer and the window: the model's, or a vocabulary learned from the first file."""
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


def _same_file(source: str, others: Sequence[str]) -> bool:
    return source in others or any(
        os.path.exists(source) and os.path.exists(other) and os.path.samefile(source, other) for other in others
    )


def _repeat_findings(
    found: Duplicates, readers: Sequence[ConversationReader], reports: Sequence[FileReport]
) -> Iterator[Finding]:
    for pair, repeats in found.exact.items():
        yield _finding("duplicate" if pair[0] == pair[1] else "leak", pair, repeats, readers, reports)
    for pair, repeats in found.near.items():
        yield _finding("near_duplicate" if pair[0] == pair[1] else "near_leak", pair, repeats, readers, reports)
    for file, repeats in found.beginnings.items():
        examples = tuple(Example(readers[file].place(each.place.line), "") for each in repeats.examples)
        yield Finding("beginning", readers[file].source, repeats.count, reports[file].conversations, examples)
    for (one, other), repeats in found.replies.items():
        yield Finding(
            "shared_reply",
            readers[other].source,
            repeats.count,
            found.replies_of[other],
            other=readers[one].source,
        )


def _finding(
    kind: str,
    pair: FilePair,
    repeats: Repeats,
    readers: Sequence[ConversationReader],
    reports: Sequence[FileReport],
) -> Finding:
    examples = tuple(
        Example(
            readers[each.place.file].place(each.place.line),
            f"{_how(kind, each.similarity)} {readers[each.earlier.file].place(each.earlier.line)}",
        )
        for each in repeats.examples
    )
    one, other = (readers[number].source for number in pair)
    return Finding(kind, other, repeats.count, reports[pair[1]].conversations, examples, other=one)


def _how(kind: str, similarity: float) -> str:
    if kind in ("duplicate", "leak"):
        return "as"
    return "same words as" if similarity == 1 else f"{similarity:.0%} like"


def _pairs(found: Duplicates, reports: Sequence[FileReport]) -> Iterator[PairReport]:
    none = Repeats()
    for pair in combinations(range(len(reports)), 2):
        one, other = (reports[number] for number in pair)
        yield PairReport(
            one.source,
            other.source,
            found.exact.get(pair, none).count,
            found.near.get(pair, none).count,
            found.replies.get(pair, none).count,
            other.conversations,
            found.replies_of[pair[1]],
        )
