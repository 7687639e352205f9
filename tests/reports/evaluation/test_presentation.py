"""Number formats, and the page: whole by itself, safe with any text, the same every time."""

import re
from dataclasses import replace

from convmodel.reports.evaluation import Evaluation
from convmodel.reports.evaluation.presentation import MAX_CARDS, bounds, number, render, signed
from convmodel.reports.evaluation.task import Card
from convmodel.reports.plots import Histogram
from tests.reports.markup import read

EVIL = "<script>alert('&')</script>"

HISTOGRAM = Histogram("Length <&>", "words", {"model": [1, 2, 2, 9], "gold": [3, 4]}, bins=None)


def shown(evaluated: Evaluation, cards: list[Card]) -> str:
    return render(
        evaluated.report, None, histograms=[HISTOGRAM], ranked_cards=cards, card_headings=evaluated.task.card_headings
    )


def test_the_page_is_self_contained(evaluated: Evaluation) -> None:
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


def test_texts_never_become_markup(evaluated: Evaluation) -> None:
    report = replace(evaluated.report, model=dict(evaluated.report.model) | {"source": EVIL}, notes=[EVIL])
    card = Card([EVIL] * 9, {"gold": EVIL, "model": ""}, [EVIL], {EVIL: EVIL})
    text = render(report, None, histograms=[HISTOGRAM], ranked_cards=[card], card_headings=(EVIL, EVIL))
    tags = read(text)
    assert "script" not in tags.names and tags.texts.count(EVIL) >= 13
    assert "(nothing)" in tags.texts and "3 earlier turns" in tags.texts


def test_best_and_worst_examples_do_not_overlap(evaluated: Evaluation) -> None:
    for count in (0, 1, 2, 5, 100):
        cards = [Card(["Hello"], {"model": f"reply {index}!"}) for index in range(count)]
        best, worst = shown(evaluated, cards).split("Least like the gold reply")
        shown_indices = [[int(n) for n in re.findall(r"reply (\d+)!", side)] for side in (best, worst)]
        assert shown_indices[0] == list(range(min(MAX_CARDS, (count + 1) // 2)))
        assert shown_indices[1] == list(range(count))[::-1][: min(MAX_CARDS, count // 2)]


def test_numbers_have_their_significant_digits() -> None:
    assert [number(value) for value in (0.1234, 12.345, 123.45, 12345.6, 1234567.0, 0.0)] == [
        *("0.123", "12.35", "123.5", "12,346", "1.2e+06", "0.000")
    ]
    assert (number(None), signed(None), bounds(None, None)) == ("–", "–", "–")
    assert [signed(value) for value in (0.5, -0.5, 0.0)] == ["+0.500", "−0.500", "±0.000"]
    assert bounds(-1.0, 2.0) == "−1.000 to 2.000" and bounds(1.0, None) == "1.000 to –"
