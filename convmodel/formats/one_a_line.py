"""Lines in, what stands in each of them out; shared by the formats that hold one thing a line."""

from collections.abc import Callable, Iterator

from convmodel.formats.base import Line, Problem, RecordT


def one_a_line(lines: Iterator[Line], record: Callable[[int, str], RecordT]) -> Iterator[RecordT | Problem]:
    """One record or problem a line; blank lines are ignored.

    Args:
        lines: of a file.
        record: the number of a line and its text -> what is in it. It raises ValueError when that is nothing.
    """
    for number, text, problem in lines:
        if problem is not None:
            yield Problem(number, problem)
        elif text and not text.isspace():
            try:
                yield record(number, text)
            except ValueError as error:
                yield Problem(number, str(error))
