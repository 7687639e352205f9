"""The page of an inspection: complete, self-contained, the same every time."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.reports.inspection.page import render
from tests.reports.inspection.helpers import EVIL, Inspect, Write


class Page(HTMLParser):
    """Collects the tags and texts of a page, and checks that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_escapes_texts(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [[EVIL, EVIL, f"{EVIL} \ufffd {n}"] for n in range(3)]
    paths = [write(name, lines) for name in ("a<i>&$.jsonl", "_b.jsonl")]
    assert main(["inspect", *paths, "--html", str(tmp_path / "page.html")]) == 0
    assert f"{tmp_path / 'page.html'}: written" in capsys.readouterr().out
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.tags.count("svg") == 2
    assert "script" not in page.tags and "b" not in page.tags and "i" not in page.tags and "link" not in page.tags
    assert EVIL in page.text and "a<i>&$.jsonl" in page.text and "conversations also in an earlier file" in page.text
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import", text)
    assert "color-scheme: light" in text


def test_the_same_files_give_the_same_page(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [["a", "b", "c"], ["a", "b"], ["a", "\ufffd"], ["a", "c"]])
    assert render(inspect(path)) == render(inspect(path))
