"""Plots: every value in a bin, the same SVG every time, the colours of the page."""

import re

import numpy as np
import pytest

from convmodel.reports.plots import Curve, Histogram, bin_edges, curve_svg, histogram_svg
from tests.reports.markup import read

HISTOGRAM = Histogram("Length <&>", "words", {"model": [1, 2, 2, 9], "gold": [3, 4]}, bins=None)


def test_a_histogram_is_the_same_every_time_and_has_the_colours_of_the_page() -> None:
    text = histogram_svg(HISTOGRAM)
    assert text == histogram_svg(HISTOGRAM)
    assert {"var(--model)", "var(--gold)", "var(--ink)"} <= set(re.findall(r"var\(--\w+\)", text))
    assert not re.search(r"#0[0-9a-f]{5}", text) and "<svg" in text and 'width="' not in text.split(">")[0]
    read(text)


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0], [0.0, 1e-12], [1.0, 500.0]])
@pytest.mark.parametrize("bins", [None, 25])
def test_every_value_falls_into_a_bin(values: list[float], bins: int | None) -> None:
    at = bin_edges({"model": values}, bins)
    assert (np.diff(at) > 0).all() and np.histogram(values, at)[0].sum() == len(values)
    assert len(at) <= 45
    read(histogram_svg(Histogram("x", "y", {"model": values}, bins)))


def test_bins_of_integers_are_equally_wide_where_possible() -> None:
    assert bin_edges({"a": range(1, 101)}, None)[[0, 1, -1]].tolist() == [0.5, 4.5, 100.5]
    assert bin_edges({"a": range(1, 98)}, None)[[0, 1, -1]].tolist() == [0.5, 3.5, 99.5]


def test_bins_of_integers_are_centred_on_them() -> None:
    assert bin_edges({"a": [1, 2], "b": [4]}, None).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_a_curve_has_its_labels_and_a_line_for_each_series() -> None:
    series = {"one": [(0.1, 1.0), (1.0, 0.5)], "other": [(0.5, 0.2), (1.0, 0.1)]}
    curve = Curve("By share", ("share", "precision"), series)
    svg = curve_svg(curve)
    assert svg == curve_svg(curve)
    assert all(f">{text}<" in svg for text in ("share", "precision", "one", "other"))
    assert "var(--model)" in svg and "var(--gold)" in svg and 'aria-label="By share"' in svg
