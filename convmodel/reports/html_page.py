"""Render a report as one self-contained HTML page, without scripts and without external fonts or images."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, *, title: str, **values: Any) -> str:
    """Render a template of `reports/templates` with the shared page layout and style sheet.

    `values` are the variables of the template. All of their texts are escaped, so that data cannot become markup.
    """
    return _environment().get_template(template).render(title=title, style=_style(), **values) + "\n"


@cache
def _environment() -> Environment:
    loader = PackageLoader("convmodel.reports")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _style() -> str:
    return files("convmodel.reports").joinpath("style.css").read_text(encoding="utf-8")
