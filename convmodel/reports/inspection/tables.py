"""Tables and sentences of an inspection, for the terminal and the HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from convmodel.data.reader import format_count
from convmodel.reports.inspection.exports import ExportReport, describe_amount
from convmodel.reports.inspection.findings import KINDS, Finding, FindingKind, excerpt, share
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.inspection.lengths import RANDOM_BATCH, Lengths, round_edges
from convmodel.reports.inspection.scan import FileReport
from convmodel.reports.tables import Table

BINS = 8
"""Maximum number of bins of a histogram up to the length of the window."""

MAX_SCRIPTS = 6
"""Maximum number of scripts listed for a file."""


@dataclass(frozen=True)
class Bar:
    """A bin of a histogram.

    Args:
        name: inclusive bounds of the bin, such as "1-32".
        count: number of items.
        beyond: whether the lengths of the bin exceed the window.
    """

    name: str
    count: int
    beyond: bool = False


def file_table(inspection: Inspection) -> Table:
    """Return a table of statistics with one column per file."""
    columns = [_column(report, inspection) for report in inspection.files]
    rows = tuple((rows[0][0], *(text for _, text in rows)) for rows in zip(*columns, strict=True))
    return Table(("", *(inspection.names[report.source] for report in inspection.files)), rows)


def _column(report: FileReport, inspection: Inspection) -> list[tuple[str, str]]:
    first, second = report.speaker_tokens
    return [
        ("format", report.format),
        ("conversations", f"{report.conversations:,}"),
        ("with a persona", f"{report.personas:,}"),
        ("turns", f"{report.turns.total:,}"),
        ("turns each, mean", f"{report.turns.mean:.1f}"),
        ("replies", f"{report.export.replies:,}"),
        ("characters", f"{report.characters:,}"),
        ("tokens", f"{report.conversation_tokens.total:,}"),
        ("by second speaker", share(second, first + second)),
        *_quantiles("tokens of a turn", report.turn_tokens),
        *_quantiles("of a conversation", report.conversation_tokens),
        (f"longer than {inspection.ruler.max_length}", share(report.split, report.conversations)),
        ("windows", f"{len(report.windows):,}"),
        ("padding in batches", ""),
        (f"  {inspection.settings.tokens_per_batch:,} tokens", _percent(report.padding)),
        (f"  {RANDOM_BATCH} at random", _percent(report.random_padding)),
    ]


def _quantiles(name: str, lengths: Lengths) -> list[tuple[str, str]]:
    return [
        (name, ""),
        ("  median", f"{lengths.quantile(0.5):,}"),
        ("  99th percentile", f"{lengths.quantile(0.99):,}"),
        ("  the longest", f"{lengths.longest:,}"),
    ]


def _percent(part: float) -> str:
    return f"{100 * part:.1f}%"


def pair_table(inspection: Inspection) -> Table:
    """Return a table of the overlap of each pair of files."""
    rows = tuple(
        (
            f"{inspection.names[pair.earlier]}, {inspection.names[pair.later]}",
            _with_share(pair.leaks, pair.conversations),
            _with_share(pair.near_leaks, pair.conversations),
            _with_share(pair.shared_replies, pair.replies),
        )
        for pair in inspection.pairs
    )
    return Table(("files", "same", "nearly", "replies"), rows)


def _with_share(count: int, total: int) -> str:
    return f"{count:,} ({share(count, total)})" if count else "0"


def exports(inspection: Inspection) -> list[tuple[str, ExportReport]]:
    """Return the short name and the statistics of replies, people and months of each file."""
    return [(inspection.names[report.source], report.export) for report in inspection.files]


def amount(inspection: Inspection) -> str:
    """Return a sentence on the training for which the largest file is enough."""
    report = max(inspection.files, key=lambda report: report.conversations)
    return describe_amount(inspection.names[report.source], report.conversations, report.export)


def script_table(inspection: Inspection) -> Table:
    """Return a table of the scripts of each file."""
    rows = []
    for report in inspection.files:
        shares = [f"{script} {share(count, report.conversations)}" for script, count in report.scripts[:MAX_SCRIPTS]]
        if shares:
            rows.append((inspection.names[report.source], ", ".join(shares)))
    return Table(("file", "conversations mainly in"), tuple(rows))


def frequent_table(inspection: Inspection) -> Table:
    """Return a table of the most frequent turns of each file."""
    rows = tuple(
        (inspection.names[report.source], " · ".join(f"{excerpt(text)} ({count:,})" for text, count in report.frequent))
        for report in inspection.files
        if report.frequent
    )
    return Table(("file", "most frequent turns"), rows)


def conversation_bars(reports: Sequence[FileReport], window: int) -> list[Bar]:
    """Return a histogram of the numbers of tokens of conversations.

    It has equal bins up to the length of the window, and two bins of longer conversations.
    """
    lengths = [report.conversation_tokens for report in reports]
    longest = max(of_file.longest for of_file in lengths)
    if 2 * longest <= window:
        return _bars(lengths, [edge + 1 for edge in round_edges(longest, max_bins=BINS)], window=window)
    width = -(-window // BINS)
    return _bars(lengths, [*range(1, window + 1, width), window + 1, 2 * window + 1], window=window)


def turn_bars(reports: Sequence[FileReport], window: int) -> list[Bar]:
    """Return a histogram of the numbers of tokens of turns.

    It has equal bins for about 99 % of the turns, and wider bins for longer turns.
    """
    longest = max((report.turn_tokens.quantile(0.99) for report in reports), default=0)
    edges = [edge + 1 for edge in round_edges(max(longest, 1), max_bins=BINS)]
    bars = _bars([report.turn_tokens for report in reports], [*edges, edges[-1] + edges[-1]], window=window)
    while len(bars) > 1 and not bars[-1].count:
        bars.pop()
    return bars


def _bars(lengths: Sequence[Lengths], edges: list[int], *, window: int) -> list[Bar]:
    sums = [sum(counts) for counts in zip(*(of_file.between(edges) for of_file in lengths), strict=True)]
    names = [f"{a}-{b - 1}" if b - 1 > a else str(a) for a, b in pairwise(edges)]
    names.append(f"> {edges[-1] - 1}")
    return [Bar(name, count, beyond=edge > window) for name, count, edge in zip(names, sums, edges, strict=True)]


def group_by_kind(inspection: Inspection) -> list[tuple[FindingKind, list[Finding]]]:
    """Return the findings grouped by kind, problems first."""
    groups = groupby(inspection.findings, key=lambda finding: finding.kind)
    return [(KINDS[name], list(findings)) for name, findings in groups]


def sentence(finding: Finding, names: Mapping[str, str]) -> str:
    """Return a description of a finding: `12 conversations of test.jsonl, from train.jsonl (0.4%)`."""
    other = f", from {names[finding.other]}" if finding.other not in ("", finding.source) else ""
    counted = format_count(finding.count, KINDS[finding.kind].unit)
    return f"{counted} of {names[finding.source]}{other} ({share(finding.count, finding.total)})"


def verdict(inspection: Inspection) -> str:
    """Return the numbers of kinds of problems and remarks as one line."""
    kinds = {finding.kind for finding in inspection.findings}
    problems = sum(KINDS[kind].severity == "problem" for kind in kinds)
    if not kinds:
        return "Nothing to remark."
    subject = format_count(problems, "kind of problem") if problems else "No problem"
    return f"{subject}, {format_count(len(kinds) - problems, 'remark')}."


def notes(inspection: Inspection) -> list[str]:
    """Return notes on the tokenizer, the window, the similarity of near copies, and estimated numbers."""
    settings = inspection.settings
    ruler = inspection.ruler
    texts = [
        f"Tokens: {ruler.name}; a window of {ruler.max_length}.",
        f"Nearly: at least {settings.near:.0%} of the pairs of neighbouring words shared (estimated).",
    ]
    conversations, replies = inspection.duplicates.one_in
    if max(conversations, replies) > 1:
        texts.append(
            f"Very many: of the conversations one in {conversations} was compared with others, of the replies one in "
            f"{replies}. What is repeated is estimated, and what is nearly the same is more than was found."
        )
    return texts
