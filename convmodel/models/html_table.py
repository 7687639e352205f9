"""Tables of texts and scores as HTML, as notebooks show them."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

Cell = str | float | None


def html_table(rows: Iterable[Mapping[str, Cell]], *, above: Sequence[str] = ()) -> str:
    """Return a table as HTML; all texts are escaped, and their line breaks kept.

    Args:
        rows: the cells by name of the column. A column is left out if all of its cells are None or empty.
        above: lines before the table, such as the turns of a context.
    """
    listed = list(rows)
    names = [*dict.fromkeys(name for row in listed for name in row)]
    shown = [name for name in names if any(row.get(name) not in (None, "") for row in listed)]
    head = "".join(f"<th>{escape(name)}</th>" for name in shown)
    body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in shown)}</tr>" for row in listed)
    lines = "".join(f"<div>{_text(line)}</div>" for line in above)
    return f"<div>{lines}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: Cell) -> str:
    text = _text(value) if isinstance(value, str) else "" if value is None else f"{value:.3f}"
    return f'<td style="text-align: {"left" if isinstance(value, str) else "right"}">{text}</td>'


def _text(text: str) -> str:
    return escape(text).replace("\n", "<br>")
