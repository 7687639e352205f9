"""An inspection in, what a person reads in a terminal out: at any width, and plain where it is no terminal."""

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from convmodel.reports.inspection.findings import Finding, Kind, share
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.inspection.tables import (
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
        _say(Text(note, style="dim"), console)
    style = _STYLES["problem"] if inspection.problems else "bold green"
    console.print(Text(verdict(inspection), style=style))


def _title(text: str, console: Console) -> None:
    _say(Text(text, style="bold"), console)


def _say(text: Text, console: Console, *, indent: int = 0) -> None:
    """Prints a text over as many lines as it needs, without the spaces that would fill them."""
    for line in text.wrap(console, max(console.width - indent, 10)):
        line.rstrip()
        console.print(Text(" " * indent) + line, soft_wrap=True)


def _parts(table: Table, width: int) -> list[Table]:
    """The table, in parts of as many columns as fit beside the names."""
    names, *wide = (max(map(len, column)) + 1 for column in zip(table.header, *table.rows, strict=True))
    fitting = max(1, (width - names) // max(wide))
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
    room = max(4, min(60, console.width - names - counts - 11))
    most, total = max(max(bar.count for bar in bars), 1), sum(bar.count for bar in bars)
    block = "█" if console.encoding.startswith("utf") else "#"
    for bar in bars:
        filled = block * (max(1, round(room * bar.count / most)) if bar.count else 0)
        line = Text(f"{bar.name:>{names}} ")
        line.append(f"{filled:<{room}}", style="red" if bar.beyond else "cyan")
        line.append(f" {bar.count:>{counts},} {share(bar.count, total):>7}")
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def _rows(title: str, table: Table, console: Console) -> None:
    if table.rows:
        _title(title, console)
        for name, text in table.rows:
            _say(Text.assemble((name, "cyan"), ": ", text), console)
        console.print()


def _pairs(table: Table, console: Console) -> None:
    for files, same, nearly, replies in table.rows:
        _say(Text(files, style="cyan"), console)
        line = f"{same} conversations word for word, {nearly} nearly; {replies} replies with all before them"
        _say(Text(line), console, indent=2)
    console.print()


def _findings(kind: Kind, findings: list[Finding], names: dict[str, str], console: Console) -> None:
    _say(Text.assemble((kind.severity, _STYLES[kind.severity]), f": {kind.heading}"), console)
    _say(Text(kind.advice, style="dim italic"), console, indent=2)
    for finding in findings:
        _say(Text(sentence(finding, names)), console, indent=2)
        for example in finding.examples[: _SHOWN[kind.severity]]:
            text = Text.assemble((example.place, "cyan"), " ", example.text)
            _say(text, console, indent=4)
    console.print()
