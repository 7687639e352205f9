"""The page: whole by itself, safe with any text, the same every time."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from convmodel.reports.evaluation import Evaluation
from convmodel.reports.evaluation.formatting import bounds, number, signed
from convmodel.reports.evaluation.page import MAX_CARDS, render
from convmodel.reports.evaluation.task import Card
from convmodel.reports.plots import Histogram, bin_edges, histogram_svg

EVIL = "<script>alert('&')</script>"

HISTOGRAM = Histogram("Length <&>", "words", {"model": [1, 2, 2, 9], "gold": [3, 4]}, bins=None)


class Tags(HTMLParser):
    """Checks that every element that is opened is closed, and collects texts and addresses."""

    VOID = ("meta", "br", "use", "path")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.names: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert not tags.open
    return tags


def shown(evaluated: Evaluation, cards: list[Card]) -> str:
    return render(
        evaluated.report, None, histograms=[HISTOGRAM], ranked_cards=cards, card_headings=evaluated.task.card_headings
    )


def test_a_page_needs_nothing_from_elsewhere(evaluated: Evaluation) -> None:
    text = render(
        evaluated.report,
        None,
        histograms=evaluated.task.histograms(evaluated.lines),
        ranked_cards=evaluated.task.ranked_cards(evaluated.lines),
        card_headings=evaluated.task.card_headings,
    )
    tags = read(text)
    assert not {"script", "link", "img", "iframe"} & set(tags.names)
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in text and len(tags.ids) == len(set(tags.ids))
    assert tags.names.count("svg") == 4 and tags.names.count("article") == len(evaluated.lines["replies.jsonl"])
    for metric in evaluated.report.metrics:
        assert metric.name in " ".join(tags.texts)


def test_no_text_becomes_markup(evaluated: Evaluation) -> None:
    report = replace(evaluated.report, model=dict(evaluated.report.model) | {"source": EVIL}, notes=[EVIL])
    card = Card([EVIL] * 9, {"gold": EVIL, "model": ""}, [EVIL], {EVIL: EVIL})
    text = render(report, None, histograms=[HISTOGRAM], ranked_cards=[card], card_headings=(EVIL, EVIL))
    tags = read(text)
    assert "script" not in tags.names and tags.texts.count(EVIL) >= 13
    assert "(nothing)" in tags.texts and "3 earlier turns" in tags.texts


def test_the_best_are_on_one_side_and_the_worst_on_the_other_and_nobody_on_both(evaluated: Evaluation) -> None:
    for count in (0, 1, 2, 5, 100):
        cards = [Card(["Hello"], {"model": f"reply {place}!"}) for place in range(count)]
        best, worst = shown(evaluated, cards).split("Least like the gold reply")
        found = [[int(n) for n in re.findall(r"reply (\d+)!", side)] for side in (best, worst)]
        assert found[0] == list(range(min(MAX_CARDS, (count + 1) // 2)))
        assert found[1] == list(range(count))[::-1][: min(MAX_CARDS, count // 2)]


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


def test_bins_of_whole_numbers_are_equally_wide_where_their_number_can_be_divided() -> None:
    assert bin_edges({"a": range(1, 101)}, None)[[0, 1, -1]].tolist() == [0.5, 4.5, 100.5]
    assert bin_edges({"a": range(1, 98)}, None)[[0, 1, -1]].tolist() == [0.5, 3.5, 99.5]


def test_bins_of_whole_numbers_are_around_them() -> None:
    assert bin_edges({"a": [1, 2], "b": [4]}, None).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_numbers_are_written_with_the_digits_that_say_something() -> None:
    assert [number(value) for value in (0.1234, 12.345, 123.45, 12345.6, 1234567.0, 0.0)] == [
        *("0.123", "12.35", "123.5", "12,346", "1.2e+06", "0.000")
    ]
    assert (number(None), signed(None), bounds(None, None)) == ("–", "–", "–")
    assert [signed(value) for value in (0.5, -0.5, 0.0)] == ["+0.500", "−0.500", "±0.000"]
    assert bounds(-1.0, 2.0) == "−1.000 to 2.000" and bounds(1.0, None) == "1.000 to –"
