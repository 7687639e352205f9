"""Kinds of findings, shares and excerpts."""

import re

import pytest

from convmodel.reports.inspection.findings import KINDS, excerpt, share
from tests.test_package import ROOT


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 0, "0%"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (1, 10**6, "<0.01%"),
        (1, 300, "0.33%"),
        (1, 3, "33.3%"),
        (9999, 10**4, "99.9%"),
    ],
)
def test_shares_are_never_rounded_to_none_or_all(count: int, total: int, text: str) -> None:
    assert share(count, total) == text


def test_the_documentation_lists_every_kind_as_the_report_names_it() -> None:
    text = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| (problem|remark) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert documented == [(kind.severity, kind.heading, kind.advice) for kind in KINDS.values()]
    [usage] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    options = set(re.findall(r"--\w+", text))
    assert {"--html", "--fix", "--strict", "--model"} <= set(re.findall(r"--\w+", usage)) <= options


def test_an_excerpt_shows_invisible_characters_on_one_line() -> None:
    assert excerpt("a\nb\u202ec\x1b") == "a b<U+202E>c<U+001B>"
    long = "x" * 100 + "!" + "y" * 100
    assert "!" in excerpt(long, around=100) and excerpt(long, around=100).startswith("...x")
    assert excerpt(long).endswith("...") and len(excerpt(long, around=100)) == 76
