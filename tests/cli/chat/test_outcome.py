"""Tables of a command's outcome on narrow screens."""

from convmodel.cli.chat.outcome import TextTable


def test_a_narrow_screen_gets_each_row_with_its_named_cells_beneath() -> None:
    table = TextTable(("", "score", "source", "candidate"), (("1", "0.5", "written", "Yes"), ("2", "", "chosen", "No")))
    assert table.stacked(40) == [
        ("1  ", "Yes", "   score 0.5 · source written"),
        ("2  ", "No", "   source chosen"),
    ]
