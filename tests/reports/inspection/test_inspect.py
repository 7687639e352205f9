"""The inspection of several files."""

import pytest

from tests.reports.inspection.helpers import Inspect, Write


def test_a_file_given_twice_is_rejected(write: Write, inspect: Inspect) -> None:
    path = write("a", [["a", "b"]])
    with pytest.raises(ValueError, match="is given twice"):
        inspect(path, path.replace("/a", "/./a"))
