"""An inspection in, what a person reads in a terminal out: at any width, and plain where it is no terminal."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from convmodel.inspection.findings import Finding, Kind, share
from convmodel.inspection.report import Inspection
from convmodel.inspection.summary import (
    Bar,
    Table,
    conversation_bars,
    file_table,
    frequent_table,
    grouped,
    notes,
    pair_table,
    script_table,
    sentence,
    short_names,
    turn_bars,
    verdict,
)

_COLUMN = 13  # characters of a file's column, its space included
_NAMES = 20  # of the names before the columns, at least
_SHOWN = {"problem": 3, "remark": 1}
_STYLES = {"problem": "bold red", "remark": "bold yellow"}


def show(inspection: Inspection, console: Console) -> None:
    """Prints everything."""
    for part in _parts(file_table(inspection), console.width):
        console.print(_grid(part))
        console.print()
    window = inspection.ruler.max_length
    _histogram(f"Tokens of a conversation (window {window})", conversation_bars(inspection.files, window), console)
    _histogram("Tokens of a turn", turn_bars(inspection.files, window), console)
    _rows("Scripts, by conversations", script_table(inspection), console)
    _rows("Most frequent turns", frequent_table(inspection), console)
    if inspection.pairs:
        _title("Shared between files", console)
        _pairs(pair_table(inspection), console)
    names = short_names([report.source for report in inspection.files])
    for kind, findings in grouped(inspection):
        _findings(kind, findings, names, console)
    for note in notes(inspection):
        console.print(Text(note, style="dim"))
    style = _STYLES["problem"] if inspection.problems else "bold green"
    console.print(Text(verdict(inspection), style=style))


def _title(text: str, console: Console) -> None:
    console.print(Text(text, style="bold"))


def _parts(table: Table, width: int) -> list[Table]:
    """The table, in parts of as many columns as fit beside the names."""
    fitting = max(1, (width - _NAMES) // _COLUMN)
    columns = range(1, len(table.header), fitting)
    return [
        Table(
            ("", *table.header[start : start + fitting]),
            tuple((row[0], *row[start : start + fitting]) for row in table.rows),
        )
        for start in columns
    ]


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("", overflow="fold")
    for name in table.header[1:]:
        grid.add_column(Text(name), justify="right", overflow="fold")
    for row in table.rows:
        grid.add_row(*map(Text, row))
    return grid


def _histogram(title: str, bars: list[Bar], console: Console) -> None:
    _title(title, console)
    names, counts = max(len(bar.name) for bar in bars), max(len(f"{bar.count:,}") for bar in bars)
    room = max(4, min(60, console.width - names - counts - 12))
    most, total = max(max(bar.count for bar in bars), 1), sum(bar.count for bar in bars)
    block = "█" if console.encoding.startswith("utf") else "#"
    for bar in bars:
        filled = block * (max(1, round(room * bar.count / most)) if bar.count else 0)
        line = Text(f"{bar.name:>{names}} ")
        line.append(f"{filled:<{room}}", style="red" if bar.beyond else "cyan")
        line.append(f" {bar.count:>{counts},} {share(bar.count, total):>8}")
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def _rows(title: str, table: Table, console: Console) -> None:
    if table.rows:
        _title(title, console)
        for name, text in table.rows:
            console.print(Text.assemble((name, "cyan"), ": ", text))
        console.print()


def _pairs(table: Table, console: Console) -> None:
    for files, same, nearly, replies in table.rows:
        console.print(Text(files, style="cyan"))
        line = f"{same} conversations word for word, {nearly} nearly; {replies} replies with all before them"
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print()


def _findings(kind: Kind, findings: list[Finding], names: dict[str, str], console: Console) -> None:
    console.print(Text.assemble((kind.severity, _STYLES[kind.severity]), f": {kind.heading}"))
    console.print(Padding(Text(kind.advice, style="dim italic"), (0, 0, 0, 2), expand=False))
    for finding in findings:
        console.print(Padding(Text(sentence(finding, names)), (0, 0, 0, 2), expand=False))
        for example in finding.examples[: _SHOWN[kind.severity]]:
            text = Text.assemble((example.place, "cyan"), " ", example.text)
            console.print(Padding(text, (0, 0, 0, 4), expand=False))
    console.print()
