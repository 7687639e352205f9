"""The skeleton of a page."""

import pytest
from jinja2 import UndefinedError

from convmodel.reports.html_page import render_page


def test_a_page_has_its_title_escaped_and_its_style_in_light_and_dark() -> None:
    page = render_page("page.html", title="<b>&")
    assert page.count("&lt;b&gt;&amp;") == 2 and "<b>" not in page
    assert "color-scheme: light dark" in page and "prefers-color-scheme: dark" in page


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_page("inspection.html", title="x")
