"""The numbers of documents, counted again from the saved lines in plain Python."""

import math
from pathlib import Path
from typing import Any

import pytest

from convmodel.metrics.words import words
from convmodel.reports.evaluation import Evaluation
from convmodel.reports.evaluation.document_generation import CONTINUATIONS, DOCUMENTS
from tests.reports.evaluation.helpers import lines_of


def test_the_numbers_are_those_of_the_saved_lines(documents_report: Evaluation, tmp_path: Path) -> None:
    documents_report.save(tmp_path / "report")
    read, written = (lines_of(tmp_path / "report" / name) for name in (DOCUMENTS, CONTINUATIONS))

    def total(name: str) -> float:
        return math.fsum(float(str(stats[name])) for stats in read)

    def seq_rep(n: int, of: str) -> float:
        shares = []
        for line in written:
            ids: Any = line[of]
            grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
            if grams:
                shares.append(1 - len(set(grams)) / len(grams))
        return sum(shares) / len(shares)

    texts = [str(line["text"]) for line in written]
    spoken = [word for text in texts for word in words(text)]
    expected = {
        "perplexity": math.exp(total("nats") / total("tokens")),
        "perplexity_per_word": math.exp(total("nats") / total("words")),
        "bits_per_byte": total("nats") / math.log(2) / total("bytes"),
        "accuracy": total("right") / total("tokens"),
        "rep_128": total("again") / total("tokens"),
        "wrep_128": total("wrongly_again") / total("tokens"),
        "seq_rep_2": seq_rep(2, "ids"),
        "seq_rep_3": seq_rep(3, "ids"),
        "seq_rep_4": seq_rep(4, "ids"),
        "uniq_seq": len({token for line in written for token in line["ids"]}),  # type: ignore[attr-defined]
        "distinct_1": len(set(spoken)) / len(spoken),
        "length": len(spoken) / len(texts),
        "ends": sum(line["finish"] == "end" for line in written) / len(written),
    }
    for name, value in expected.items():
        metric = documents_report.report[name]
        assert metric.value == pytest.approx(value), name
        assert metric.low is not None and metric.high is not None and metric.low <= value <= metric.high, name
    assert documents_report.report["seq_rep_4"].gold == pytest.approx(seq_rep(4, "gold_ids"))
    assert documents_report.report["rep_128"].gold == pytest.approx(total("gold_again") / total("tokens"))
    assert Evaluation.load(tmp_path / "report").report == documents_report.report
