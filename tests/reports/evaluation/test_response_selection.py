"""Models that choose, end to end: their numbers against plain Python, their files, and what counts against them."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from convmodel.data.conversation import write_conversations
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import HOMES
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate
from convmodel.reports.evaluation.candidate_pools import read_pools
from convmodel.reports.evaluation.presentation import ARROWS
from convmodel.reports.evaluation.response_selection import score_pools
from convmodel.reports.evaluation.selection_metrics import SelectionResult
from tests.reports.evaluation.helpers import files_of, lines_of, pool_lines, some_conversations, write_lines
from tests.reports.evaluation.selectors import BROKEN, HOME, WordCounter, shared_words, small_selector, small_tokenizer
from tests.test_package import ROOT

QUICK = EvaluationOptions(resamples=100)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the selectors `words`, `bi`, `poly` and two that are constant, `given.jsonl` and `talks.jsonl`."""
    folder = tmp_path_factory.mktemp("choosing")
    WordCounter(small_tokenizer()).save_pretrained(folder / "words")
    small_selector().save_pretrained(folder / "bi")
    small_selector(PolyEncoder).save_pretrained(folder / "poly")
    for cls in (BiEncoder, PolyEncoder):
        small_selector(cls, width=256, constant=True).save_pretrained(folder / f"constant-{cls.kind}")
    write_lines(folder / "given.jsonl", pool_lines([60] * 12 + [59, 10, 9, 3]))
    write_conversations(some_conversations(count=30), folder / "talks.jsonl")
    return folder


@pytest.fixture(autouse=True)
def _word_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, home in HOME.items():
        monkeypatch.setitem(HOMES, kind, home)


def measured(models: Path, model: str, data: str = "given.jsonl", options: EvaluationOptions = QUICK) -> Evaluation:
    return evaluate(models / model, models / data, options=options, device="cpu")


def plain_rank(gold: float, others: Sequence[float]) -> int:
    """1, and 1 more for each other one that is not certainly below."""
    return 1 + sum(not other < gold for other in others)


def test_metrics_equal_those_of_plain_python(models: Path) -> None:
    evaluation = measured(models, "words")
    lines = [json.loads(line) for line in (models / "given.jsonl").read_text().splitlines()]
    golds = [shared_words(line["context"], (), line["response"]) for line in lines]
    others = [[shared_words(line["context"], (), text) for text in line["distractors"]] for line in lines]
    expected = {}
    for pool, cut in {60: range(13), 10: range(15), 3: [15]}.items():  # 9 candidates count as 10, and 59 as 60
        ranks = [plain_rank(golds[n], others[n][: pool - 1]) for n in cut]
        expected[f"mrr/{pool}"] = sum(1 / rank for rank in ranks) / len(ranks)
        for k in (k for k in (1, 2, 5) if k < pool):
            expected[f"R_{pool}@{k}"] = sum(rank <= k for rank in ranks) / len(ranks)
    expected["gold_score"] = sum(golds) / len(golds)
    assert {metric.name: metric.value for metric in evaluation.report.metrics} == pytest.approx(expected)
    assert 0 < expected["R_60@5"] < 1 and 0 < expected["R_10@1"] < 1
    for metric in evaluation.report.metrics:
        if metric.family == "Choosing among 3 candidates":  # one example: of its chance nothing is known
            assert metric.low is metric.high is None
        else:
            assert metric.low is not None and metric.value is not None and metric.low <= metric.value
    assert "2 of 16 pools are smaller than their group's name says" in evaluation.report.notes[0]
    assert evaluation.report.summary == "16 replies chosen among 3 to 60 candidates in 8 conversations."


def test_the_meaning_of_each_metric_names_its_chance_level(models: Path) -> None:
    report = measured(models, "words").report
    assert report["R_60@5"].meaning.endswith("; chance gives 0.083")
    assert report["mrr/10"].meaning.endswith(f"; chance gives {sum(1 / rank for rank in range(1, 11)) / 10:.3f}")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bi", "poly"])
def test_lines_hold_the_scores_of_the_selector(models: Path, tmp_path: Path, model: str) -> None:
    evaluation = measured(models, model, "talks.jsonl", replace(QUICK, turns="all", pool=7))
    evaluation.save(tmp_path / "report")
    selector = Selector.from_pretrained(models / model, "cpu", "float32")
    for line in lines_of(tmp_path / "report" / "choices.jsonl"):
        result = SelectionResult(**line)  # type: ignore[arg-type]
        scores = selector.score([result.context], [result.candidates], personas=[result.persona])[0].tolist()
        assert result.scores == pytest.approx(scores, abs=1e-4)
        kept = [float(score) for score in result.scores if score is not None]
        others = kept[: result.gold_at] + kept[result.gold_at + 1 :]
        assert result.rank == plain_rank(kept[result.gold_at] - result.rounding, others)
        assert kept[result.candidates.index(result.best)] >= max(kept) - result.rounding
        assert 0 < result.rounding < 1e-3
        assert result.gold == result.candidates[result.gold_at]
        assert (result.gold == result.best) == (result.rank == 1)
    loaded = Evaluation.load(tmp_path / "report")
    assert loaded.report == evaluation.report and loaded.lines == evaluation.lines


@pytest.mark.slow
@pytest.mark.parametrize("model", ["words", "bi"])
def test_the_same_model_and_data_give_the_same_bytes(models: Path, tmp_path: Path, model: str) -> None:
    for name in ("first", "second"):
        measured(models, model, "talks.jsonl").save(tmp_path / name)
    first = files_of(tmp_path / "first")
    assert set(first) == {"report.json", "report.html", "choices.jsonl"}
    assert first == files_of(tmp_path / "second")


@pytest.mark.parametrize("kind", ["bi-encoder", "poly-encoder"])
def test_a_constant_model_never_ranks_the_gold_reply_first(models: Path, kind: str) -> None:
    evaluation = measured(models, f"constant-{kind}")
    lines: Sequence[SelectionResult] = evaluation.lines["choices.jsonl"]
    for metric in evaluation.report.metrics:
        highest = None if "R_3@" in metric.name else 0.0  # of one example no interval is known
        assert "@" not in metric.name or (metric.value, metric.high) == (0.0, highest), metric.name
    assert all(result.rank == len(result.candidates) and result.best != result.gold for result in lines)
    assert "In 16 of 16 pools all candidates have the same score: nothing was chosen." in evaluation.report.notes


def test_ties_count_against_the_model(models: Path, tmp_path: Path) -> None:
    lines = [{"context": ["x"], "response": "a b", "distractors": ["c", "d", "e"]}] * 3
    data = write_lines(tmp_path / "data.jsonl", lines)
    report = evaluate(models / "words", data, options=QUICK, device="cpu").report
    assert (report["R_4@1"].value, report["R_4@2"].value, report["mrr/4"].value) == (0.0, 0.0, 0.25)


def test_scores_that_are_not_finite_count_against_the_model(models: Path, tmp_path: Path) -> None:
    lines = [
        {"context": ["hello you"], "response": "hello you", "distractors": ["a", BROKEN]},
        {"context": ["hello"], "response": BROKEN, "distractors": ["a", "b"]},
        {"context": ["hello"], "response": "hello", "distractors": ["a", "b"]},
    ]
    evaluation = evaluate(models / "words", write_lines(tmp_path / "data.jsonl", lines), options=QUICK, device="cpu")
    chosen: Sequence[SelectionResult] = evaluation.lines["choices.jsonl"]
    ranks = {result.context[0]: result.rank for result in chosen if result.gold != BROKEN}
    assert ranks == {"hello you": 2, "hello": 1}
    assert next(result.rank for result in chosen if result.gold == BROKEN) == 3
    assert [result.scores.count(None) for result in sorted(chosen, key=lambda result: result.line)] == [1, 1, 0]
    assert evaluation.report["R_3@1"].value == pytest.approx(1 / 3)
    assert evaluation.report["gold_score"].value is None
    assert "2 of 9 scores are not finite (nan, inf); that counts against the model." in evaluation.report.notes
    evaluation.save(tmp_path / "report")
    assert "no score" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_texts_are_encoded_once_and_a_cross_encoder_scores_one_context_at_a_time(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = read_pools(str(models / "talks.jsonl"), replace(QUICK, turns="all"))
    selector = small_selector()
    encoded: list[str] = []
    plain = selector.encode_candidates

    def spied(texts: Sequence[str]) -> Tensor:
        encoded.extend(texts)
        return plain(texts)

    monkeypatch.setattr(selector, "encode_candidates", spied)
    assert len(list(score_pools(selector, pools))) == len(pools.examples)
    assert len(encoded) == len(set(encoded)) < sum(len(pool.example.candidates) for pool in pools.examples)
    assert set(encoded) == {text for pool in pools.examples for text in pool.example.candidates}
    counter = WordCounter(small_tokenizer())
    assert len(list(score_pools(counter, pools))) == len(pools.examples)
    assert counter.batch_sizes == [1] * len(pools.examples)


def test_a_context_that_is_too_long_is_reported_with_its_line(models: Path, tmp_path: Path) -> None:
    lines = [{"context": ["a"], "response": "b", "distractors": ["c"]} for _ in range(4)]
    lines[2]["persona"] = ["I am a person with far too much to tell. " * 9]
    data = write_lines(tmp_path / "data.jsonl", lines)
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(data))}:3: the model cannot read this example: 60 tokens leave"
    ):
        evaluate(models / "bi", data, options=QUICK, device="cpu")


def test_replies_with_a_persona_are_counted_as_hits(models: Path) -> None:
    names = [metric.name for metric in measured(models, "bi", "talks.jsonl", replace(QUICK, pool=4)).report.metrics]
    assert names == ["hits@1/4", "hits@2/4", "mrr/4", "gold_score"]


def test_the_better_of_two_models_is_found(models: Path, tmp_path: Path) -> None:
    lines = [{"context": [f"{n} tea"], "response": "tea", "distractors": ["yes", "no", "cats"]} for n in range(20)]
    data = write_lines(tmp_path / "data.jsonl", lines)
    words, constant = (
        evaluate(models / name, data, options=QUICK, device="cpu") for name in ("words", "constant-bi-encoder")
    )
    words.save(tmp_path / "words")
    for evaluation, verdict in ((words, "no difference found"), (constant, "worse")):
        comparison = evaluation.compared_with(tmp_path / "words").comparison
        assert comparison is not None
        verdicts = {row.name: row.verdict for row in comparison.differences}
        assert verdicts.pop("gold_score") == "not comparable"
        assert verdicts["R_4@1"] == verdicts["mrr/4"] == verdict


def test_other_candidates_and_other_kinds_are_rejected(models: Path, folder: Path, tmp_path: Path) -> None:
    measured(models, "bi", "talks.jsonl").save(tmp_path / "one")
    for options in (replace(QUICK, seed=1), replace(QUICK, pool=3), replace(QUICK, limit=4)):
        with pytest.raises(ValueError, match="one: the other report is of other examples"):
            measured(models, "bi", "talks.jsonl", options).compared_with(tmp_path / "one")
    writer = evaluate(
        folder / "model", folder / "talks.jsonl", options=EvaluationOptions(resamples=5, limit=1), device="cpu"
    )
    with pytest.raises(ValueError, match="one: is of a model for choosing; this one is for writing"):
        writer.compared_with(tmp_path / "one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            EvaluationOptions(decoding={"top_p": 0.5}),
            r"the options of decoding, {'top_p': 0.5}, have no effect on a model for ch",
        ),
        (EvaluationOptions(bleu_tokenize="char"), "bleu_tokenize='char' has no effect on a model for choosing"),
        (
            EvaluationOptions(perplexity_on="last"),
            "leave it out. Such a model follows turns, limit, pool, seed, resamples, conf",
        ),
    ],
)
def test_options_without_effect_are_rejected(models: Path, options: EvaluationOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measured(models, "bi", options=options)


def test_pools_are_rejected_for_a_model_that_writes(folder: Path) -> None:
    with pytest.raises(ValueError, match="pool=10 has no effect on a model for writing"):
        evaluate(folder / "model", folder / "talks.jsonl", options=EvaluationOptions(pool=10), device="cpu")


def test_options_of_the_other_kind_are_not_in_the_report(models: Path) -> None:
    report = measured(models, "bi").report
    assert set(report.options) == {"turns", "limit", "pool", "seed", "resamples", "confidence"}
    assert report.evaluation_options() == replace(QUICK, limit=0)
    assert report.model["kind"] == "bi-encoder" and report.used == {"candidates": {"from": "the file"}}


def test_the_docs_explain_every_number(models: Path) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    arrows = {
        name: arrow for names, arrow in re.findall(r"^\| (.*) ([↑↓]) \|", text, re.M) for name in names.split(", ")
    }
    for metric in measured(models, "words").report.metrics:
        general = re.sub(r"\d+$", "n", re.sub(r"R_\d+@\d+", "R_n@k", metric.name))
        assert arrows[f"`{general}`"] == ARROWS[metric.better]
    assert "`hits@k/n`" in arrows


def test_a_single_conversation_has_no_interval_and_no_verdict(models: Path, tmp_path: Path) -> None:
    """All begin alike, so they are of one conversation; drawing it again and again would look like certainty."""
    lines = [
        {"context": ["Hello", f"sea {n}"], "response": f"sea {n}", "distractors": ["rain", "snow"]} for n in range(6)
    ]
    path = tmp_path / "alike.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    words, same = (
        evaluate(models / name, path, options=QUICK, device="cpu") for name in ("words", "constant-bi-encoder")
    )
    same.save(tmp_path / "same")
    compared = words.compared_with(tmp_path / "same").comparison
    assert compared is not None and words.report.metrics[0].value == 1.0
    assert all(row.low is None and row.verdict == "not comparable" for row in compared.differences)
    assert all(metric.low is metric.high is None for metric in words.report.metrics)
