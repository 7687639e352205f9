"""Printing of an inspection on a terminal of any width, or as plain text if the output is not a terminal."""

from rich.console import Console
from rich.text import Text

from convmodel.reports.inspection import tables
from convmodel.reports.inspection.exports import people_table, period_table
from convmodel.reports.inspection.findings import Finding, FindingKind, share
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.tables import STYLES, Table, column_groups, console_grid, print_wrapped

_MAX_EXAMPLES = {"problem": 3, "remark": 1}


def show(inspection: Inspection, console: Console) -> None:
    """Print the whole inspection."""
    for part in column_groups(tables.file_table(inspection), console.width):
        console.print(console_grid(part))
        console.print()
    print_wrapped(Text(tables.amount(inspection)), console)
    console.print()
    for title, table in (
        ("Who speaks", people_table(tables.exports(inspection))),
        ("Conversations over time", period_table(tables.exports(inspection))),
    ):
        if table.rows:
            _print_title(title, console)
            console.print(console_grid(table))
            console.print()
    window = inspection.ruler.max_length
    _print_bars(
        f"Tokens of a conversation (window {window})", tables.conversation_bars(inspection.files, window), console
    )
    _print_bars("Tokens of a turn", tables.turn_bars(inspection.files, window), console)
    _print_rows("Scripts, by conversations", tables.script_table(inspection), console)
    _print_rows("Most frequent turns", tables.frequent_table(inspection), console)
    if inspection.pairs:
        _print_title("Shared between files", console)
        for files, same, nearly, replies in tables.pair_table(inspection).rows:
            print_wrapped(Text(str(files), style=STYLES["position"]), console)
            line = f"{same} conversations word for word, {nearly} nearly; {replies} replies with all before them"
            print_wrapped(Text(line), console, indent=2)
        console.print()
    for kind, findings in tables.group_by_kind(inspection):
        _print_findings(kind, findings, inspection.names, console)
    for note in tables.notes(inspection):
        print_wrapped(Text(note, style=STYLES["muted"]), console)
    style = STYLES["problem"] if inspection.problems else STYLES["fine"]
    console.print(Text(tables.verdict(inspection), style=style))


def _print_title(text: str, console: Console) -> None:
    print_wrapped(Text(text, style=STYLES["strong"]), console)


def _print_bars(title: str, bars: list[tables.Bar], console: Console) -> None:
    _print_title(title, console)
    name_width = max(len(bar.name) for bar in bars)
    count_width = max(len(f"{bar.count:,}") for bar in bars)
    room = max(4, min(60, console.width - name_width - count_width - 11))
    largest = max(max(bar.count for bar in bars), 1)
    total = sum(bar.count for bar in bars)
    block = "█" if console.encoding.startswith("utf") else "#"
    for bar in bars:
        filled = block * (max(1, round(room * bar.count / largest)) if bar.count else 0)
        line = Text(f"{bar.name:>{name_width}} ")
        line.append(f"{filled:<{room}}", style="red" if bar.beyond else "cyan")
        line.append(f" {bar.count:>{count_width},} {share(bar.count, total):>7}")
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def _print_rows(title: str, table: Table, console: Console) -> None:
    if table.rows:
        _print_title(title, console)
        for name, text in table.rows:
            print_wrapped(Text.assemble((str(name), STYLES["position"]), f": {text}"), console)
        console.print()


def _print_findings(kind: FindingKind, findings: list[Finding], names: dict[str, str], console: Console) -> None:
    print_wrapped(Text.assemble((kind.severity, STYLES[kind.severity]), f": {kind.heading}"), console)
    print_wrapped(Text(kind.advice, style="dim italic"), console, indent=2)
    for finding in findings:
        print_wrapped(Text(tables.sentence(finding, names)), console, indent=2)
        for example in finding.examples[: _MAX_EXAMPLES[kind.severity]]:
            line = Text.assemble((example.location, STYLES["position"]), " ", example.text)
            print_wrapped(line, console, indent=4)
    console.print()
