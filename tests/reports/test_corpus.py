"""The report of a corpus."""

from collections import Counter
from pathlib import Path

from convmodel.reports.corpus import describe, make_report, write_page

COUNTS = {
    "split": Counter({"read": 10, "kept": 7, "deleted": 3}),
    "build": Counter({"kept": 4, "too few turns": 2}),
    "write": Counter(
        {"train": 2, "valid": 1, "equal to another": 1, "turns=2": 2, "turns=3": 1, "words=1": 4, "words=18": 3}
    ),
}


def test_the_report_has_what_came_in_and_out_of_every_filter() -> None:
    report = make_report("comments", COUNTS, {"language": "en"})
    assert report == {
        "comments": {"read": 10, "kept": 7, "left out": {"deleted": 3}},
        "conversations": {
            "built": 6,
            "left out": {"equal to another": 1, "too few turns": 2},
            "train": 2,
            "valid": 1,
            "test": 0,
        },
        "histograms": {"turns": {"2": 2, "3": 1}, "words": {"1": 4, "18": 3}},
        "options": {"language": "en"},
    }
    assert list(describe(report)) == [
        "comments: 10 read, 7 kept",
        "  deleted: 3",
        "conversations: 6 built, 3 kept",
        "  equal to another: 1",
        "  too few turns: 2",
        "train 2, valid 1, test 0",
    ]


def test_the_page_shows_counts_histograms_and_options(tmp_path: Path) -> None:
    write_page(make_report("comments", COUNTS, {"language": "<en>"}), tmp_path / "corpus.html")
    page = (tmp_path / "corpus.html").read_text(encoding="utf-8")
    assert "10 comments became 3 conversations." in page and "left out: deleted" in page and "30.00 %" in page
    assert page.count("<svg") == 2 and "&lt;en&gt;" in page


def test_an_empty_corpus_has_a_page_without_histograms(tmp_path: Path) -> None:
    counts = {stage: Counter[str]() for stage in ("split", "build", "write")}
    write_page(make_report("comments", counts, {}), tmp_path / "corpus.html")
    assert "<svg" not in (tmp_path / "corpus.html").read_text(encoding="utf-8")
