"""Evaluation of selectors, which select the reply among candidates. Each text is encoded once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.fused_selector import FusedSelector, SearchingSelector
from convmodel.models.selection.fusion_learning import file_digests
from convmodel.models.selection.lexical import WordTable
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR
from convmodel.reports.evaluation import selection_metrics
from convmodel.reports.evaluation.candidate_pools import CandidatePool, Pools, read_pools
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.task import Card, EvaluationTask, Lines, MetricResults, RunRequest, RunResult
from convmodel.reports.plots import Curve, Histogram, length_histogram

CHOICES = "choices.jsonl"

TEXTS = 2_048
CONTEXTS = 128
"""Numbers of candidates and contexts that are tokenised at once. The encoder batches texts of similar length."""

ROUNDING = 1e-6
"""Relative rounding error of a score. float32 has seven digits, of which sums lose one."""

Scores = tuple[np.ndarray, float]
"""(C,) float32 scores of a pool, and their absolute rounding error. Scores that differ by less are tied."""


class ResponseSelection(EvaluationTask):
    """Evaluation of a selector: ranks of the gold responses among their candidates."""

    name = "choosing"
    marker_file = SELECTOR
    options = frozenset({"turns", "limit", "pool", "seed", "resamples", "confidence"})
    default_limit = 0
    card_headings = ("The gold reply found most clearly", "The gold reply missed most clearly")
    files: ClassVar = {CHOICES: selection_metrics.SelectionResult}
    remedy = "with the same --limit, and where it gives no candidates also with the same --turns, --pool and --seed"

    def run(self, request: RunRequest) -> RunResult:
        """Load the selector in float32, and score the candidates of every example."""
        if request.base is not None:
            raise ValueError(f"{request.model}: holds a model that chooses replies and has no base; leave --base out")
        pools = read_pools(request.data, request.options, request.read_options)
        selector = Selector.from_pretrained(request.model, request.device, "float32", fusion=request.fusion)
        scored = zip(pools.examples, score_pools(selector, pools), strict=True)
        lines: Lines = {CHOICES: [_result(pool, *scores) for pool, scores in scored]}
        facts = {
            "source": request.model,
            "kind": selector.kind,
            "fingerprint": selector.fingerprint(),
            "dtype": selector.dtype,
            "parameters": selector.parameters(),
            "vocab_size": selector.vocab_size,
        }
        notes = [*pools.notes, *_fusion_notes(selector, request)]
        return RunResult(facts, pools.data, lines, {"candidates": pools.candidates}, notes)

    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute recall or hits, mean reciprocal rank, and mean score of the gold responses."""
        return selection_metrics.compute_metrics(lines[CHOICES])

    def inputs(self, lines: Lines) -> Mapping[str, Sequence[Any]]:
        """Return the contexts with their candidates."""
        results: Sequence[selection_metrics.SelectionResult] = lines[CHOICES]
        return {"examples": [(result.persona, result.context, result.candidates, result.gold_at) for result in results]}

    def histograms(self, lines: Lines) -> list[Histogram]:
        """Return histograms of ranks, margins, finite scores of gold and other candidates, and lengths."""
        results: Sequence[selection_metrics.SelectionResult] = lines[CHOICES]
        scores: dict[str, list[float]] = {"other candidates": [], "gold": []}
        for result in results:
            for index, score in enumerate(result.scores):
                if score is not None:
                    scores["gold" if index == result.gold_at else "other candidates"].append(score)
        return [
            Histogram("Rank of the gold reply", "rank, 1 is best", {"model": [r.rank for r in results]}, bins=None),
            Histogram(
                "Margin of the gold reply over the best other candidate",
                "score of the gold reply − that of the best other",
                {"model": [selection_metrics.margin(result) for result in results]},
            ),
            Histogram("Scores", "score", scores),
            length_histogram("words of a reply", [r.best for r in results], [r.gold for r in results]),
        ]

    def curves(self, lines: Lines) -> list[Curve]:
        """Return precision against coverage."""
        series = selection_metrics.precision_curve(lines[CHOICES])
        return [
            Curve("Precision by coverage", ("share of examples that get a reply", "share of right replies"), series)
        ]

    def ranked_cards(self, lines: Lines) -> list[Card]:
        """Return cards in ascending order of the share of candidates above the gold one, then largest margin first."""
        return [_card(result) for result in sorted(lines[CHOICES], key=_sort_key, reverse=True)]


def _fusion_notes(selector: Selector, request: RunRequest) -> list[str]:
    """Return a note for each evaluated file on which the weights of `fusion.json` were learned."""
    if not isinstance(selector, FusedSelector):
        return []
    learned_on = selector.fusion.learned_on.get("files", {}).values()
    same = [name for name, digest in file_digests(request.data).items() if digest in learned_on]
    return [f"The weights of fusion.json were learned on {name} too, so the numbers are too good." for name in same]


def _result(pool: CandidatePool, values: np.ndarray, rounding: float) -> selection_metrics.SelectionResult:
    example = pool.example
    # `str` gives the fewest digits that identify a float32.
    scores = [float(str(value)) if math.isfinite(value) else None for value in values.astype(np.float32)]
    rounding = float(f"{rounding:.3g}")
    rank = selection_metrics.rank_gold(scores, example.gold, rounding).ranks[0]
    return selection_metrics.SelectionResult(
        conversation=pool.conversation,
        line=pool.line,
        persona=list(example.persona),
        context=list(example.context),
        candidates=list(example.candidates),
        gold_at=example.gold,
        gold=example.response,
        best=example.candidates[example.gold if rank == 1 else selection_metrics.best_other(scores, example.gold)],
        rank=rank,
        scores=scores,
        rounding=rounding,
    )


def _sort_key(result: selection_metrics.SelectionResult) -> tuple[float, float]:
    lead = selection_metrics.margin(result)
    return -(result.rank - 1) / (len(result.scores) - 1), -math.inf if math.isnan(lead) else lead


def _card(result: selection_metrics.SelectionResult) -> Card:
    other = selection_metrics.best_other(result.scores, result.gold_at)
    if result.rank == 1:
        responses = {"gold and model": result.gold, "next best": result.candidates[other]}
    else:
        responses = {"gold": result.gold, "model": result.best}
    facts = {
        "rank": f"{result.rank:,} of {len(result.scores):,}",
        "gold": _format_score(result.scores[result.gold_at]),
        "best other": _format_score(result.scores[other]),
        "line": f"{result.line:,}",
    }
    return Card(result.context, responses, result.persona, facts)


def _format_score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.3f}".replace("-", "−")


def score_pools(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """Yield the scores of the candidates of each example, in order.

    Raises:
        ValueError: for a context that the selector cannot read. The message names its line.
    """
    if isinstance(selector, DualEncoderSelector):
        scores = _score_encoded(selector, pools)
    elif isinstance(selector, FusedSelector) and selector.searches:
        scores = _score_fused(selector, pools)
    else:
        scores = _score_jointly(selector, pools)
    yield from tqdm(scores, total=len(pools.examples), desc="Contexts", unit="", disable=None, leave=False)


def _score_jointly(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """Yield the scores by a selector that reads context and candidate together, one context at a time."""
    for pool in pools.examples:
        example = pool.example
        try:
            scores = selector.score([example.context], [example.candidates], personas=[example.persona])
        except ValueError as error:
            raise _unreadable(pools, pool, error) from error
        values = scores[0].float().cpu().numpy()
        yield values, _rounding_error(float(np.abs(values).max()))


def _score_encoded(selector: DualEncoderSelector[Any, Any], pools: Pools) -> Iterator[Scores]:
    """Yield the scores by a dual encoder. Each distinct candidate is encoded once."""
    texts = dict.fromkeys(text for pool in pools.examples for text in pool.example.candidates)
    ordered = sorted(texts, key=len)  # blocks of texts of similar length need little padding
    indices = {text: index for index, text in enumerate(ordered)}
    vectors = _encode_candidates(selector, ordered)
    norms = vectors.float().norm(dim=-1)
    for start in range(0, len(pools.examples), CONTEXTS):
        block = pools.examples[start : start + CONTEXTS]
        contexts = _encode_contexts(selector, pools, block)
        for row, pool in enumerate(block):
            rows = torch.tensor([indices[text] for text in pool.example.candidates], device=vectors.device)
            context = EncodedContexts(contexts.vectors[row : row + 1], contexts.mask[row : row + 1])
            values = selector.score_encoded(context, vectors[rows])[0].float().cpu().numpy()
            size = float(context.vectors[context.mask].float().norm(dim=-1).max() * norms[rows].max())
            yield values, _rounding_error(size)


def _score_fused(selector: FusedSelector, pools: Pools) -> Iterator[Scores]:
    """Yield the scores by a fused selector that encodes candidates. Each distinct candidate is encoded once."""
    texts = sorted(dict.fromkeys(text for pool in pools.examples for text in pool.example.candidates), key=len)
    indices = {text: index for index, text in enumerate(texts)}
    table = CandidateTable(CandidateMatrix(_encode_candidates(selector, texts)), lambda: WordTable.of(texts))
    for start in range(0, len(pools.examples), CONTEXTS):
        block = pools.examples[start : start + CONTEXTS]
        contexts = _encode_contexts(selector, pools, block)
        for row, pool in enumerate(block):
            parts = contexts.parts(row, table.take([indices[text] for text in pool.example.candidates]))
            sizes = sum((abs(values) for values in parts.values()), start=np.zeros(1))
            scores = sum(parts.values(), start=np.zeros(len(pool.example.candidates)))
            yield scores, _rounding_error(float(sizes.max()))


def _encode_candidates(selector: Selector, texts: Sequence[str]) -> Tensor:
    with tqdm(total=len(texts), desc="Candidates", unit="", disable=None, leave=False) as progress:
        blocks = []
        for start in range(0, len(texts), TEXTS):
            blocks.append(selector.encode_candidates(texts[start : start + TEXTS]))
            progress.update(len(blocks[-1]))
    return torch.cat(blocks)


def _encode_contexts(selector: SearchingSelector, pools: Pools, block: Sequence[CandidatePool]) -> Any:
    contexts = [pool.example.context for pool in block]
    personas = [pool.example.persona for pool in block]
    try:
        return selector.encode_contexts(contexts, personas=personas)
    except ValueError as error:
        if len(block) == 1:
            raise _unreadable(pools, block[0], error) from error
        for pool in block:  # find the example that raised the error
            _encode_contexts(selector, pools, [pool])
        raise


def _unreadable(pools: Pools, pool: CandidatePool, error: ValueError) -> ValueError:
    return ValueError(f"{pools.location(pool.line)}: the model cannot read this example: {error}")


def _rounding_error(size: float) -> float:
    return ROUNDING * size if np.isfinite(size) else 0.0
