"""Cached candidates in, seconds of exact search out: ours beside the usual form and three libraries."""

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    described,
    interleave,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from convmodel.models.devices import has_fast_bf16
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.int8 import has_fast_int8
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

K = 10
SPREAD = 4.0
"""Standard deviation of a product of two vectors: a softmax over such numbers is neither flat nor a single one, and no
weight is so small that processors are slow at it."""

PUBLISHED = "about 690 ms on 80 cores"
"""For one context, m = 64 and 100,000 cached candidates. Source: arXiv:1905.01969, table 4."""

PARTS = (0, 4_096)
"""Candidates that the usual form and the plain product take at once, 0 for all: the quicker one is the peer."""

Ids = list[list[int]]


def usual(codes: Tensor, candidates: Tensor, part: int) -> Ids:
    """The poly-encoder as it is mostly written: softmax(C Y') Y, and the products of its rows with those of C."""
    scores = []
    for rows in candidates.split(part or len(candidates)):
        seen = (rows @ codes.T).softmax(-1) @ codes
        scores.append((seen * rows).sum(-1))
    return [torch.cat(scores).topk(K).indices.tolist()]


def contenders_poly(codes: Tensor, candidates: Tensor) -> dict[str, Callable[[], Ids]]:
    """One context of M vectors, among all candidates."""
    shelf, found = CandidateMatrix(candidates), torch.ones(1, len(codes), dtype=torch.bool)
    once = CandidateMatrix(candidates, quantise=False)
    return {
        "ours": lambda: search_exact(EncodedContexts(codes[None], found), shelf, K).ids.tolist(),
        "ours, fp32": lambda: search_exact(EncodedContexts(codes[None], found), once, K).ids.tolist(),
        **{_named("usual", part): partial(usual, codes, candidates, part) for part in PARTS},
    }


def contenders_bi(contexts: Tensor, candidates: Tensor, threads: int) -> dict[str, Callable[[], Ids]]:
    """Many contexts at once, among all candidates; what is not installed is left out."""
    shelf, once = CandidateMatrix(candidates), CandidateMatrix(candidates, quantise=False)
    encoded = EncodedContexts(contexts[:, None], torch.ones(len(contexts), 1, dtype=torch.bool))
    found: dict[str, Callable[[], Ids]] = {
        "ours": lambda: search_exact(encoded, shelf, K).ids.tolist(),
        "ours, fp32": lambda: search_exact(encoded, once, K).ids.tolist(),
    }
    for name, make in {"faiss": _faiss, "usearch": _usearch, "sentence-transformers": _semantic_search}.items():
        try:
            found[name] = make(contexts, candidates, threads)
        except ModuleNotFoundError as error:
            tell(f"{error.name} is not there (pip install faiss-cpu usearch sentence-transformers): measured without")
    return found


def _faiss(contexts: Tensor, candidates: Tensor, threads: int) -> Callable[[], Ids]:
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates.numpy())
    return lambda: index.search(contexts.numpy(), K)[1].tolist()


def _usearch(contexts: Tensor, candidates: Tensor, threads: int) -> Callable[[], Ids]:
    usearch: Any = importlib.import_module("usearch.index")
    kind = usearch.MetricKind.IP
    given = candidates.numpy(), contexts.numpy()
    return lambda: usearch.search(*given, K, kind, exact=True, threads=threads).keys.astype(int).tolist()


def _semantic_search(contexts: Tensor, candidates: Tensor, threads: int) -> Callable[[], Ids]:
    library: Any = importlib.import_module("sentence_transformers.util")
    search = partial(library.semantic_search, contexts, candidates, top_k=K, score_function=library.dot_score)
    return lambda: [[hit["corpus_id"] for hit in hits] for hits in search()]


def check_equal(found: Mapping[str, Ids]) -> None:
    """All found the same numbers in the same order.

    Raises:
        ValueError: where they did not.
    """
    for name, ids in found.items():
        if ids != found["ours"]:
            raise ValueError(f"{name} found other candidates than ours: {ids} and {found['ours']}")


def measure(*, smoke: bool, rounds: int = 9, threads: int = 2) -> dict[str, Any]:
    """Checks that all find the same, then measures in turn.

    Returns:
        Seconds of each round by contender, for "poly" and "bi", and what they ran on.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    candidates, width, vectors = (3_000, 32, 4) if smoke else (100_000, 768, 64)
    scale = (SPREAD / width**0.5) ** 0.5
    known, asked = torch.randn(candidates, width) * scale, torch.randn(vectors, width) * scale
    measured: dict[str, Any] = {"candidates": candidates, "width": width, "vectors": vectors, "8 bits": has_fast_int8()}
    for name, runs in (("poly", contenders_poly(asked, known)), ("bi", contenders_bi(asked, known, threads))):
        check_equal({contender: run() for contender, run in runs.items()})
        tell(f"{name}: all found the same {K} candidates in the same order")
        timed = {contender: partial(_seconds, run) for contender, run in runs.items()}
        measured[name] = interleave(timed, 1 if smoke else rounds)
    return measured


def ratios(measured: Mapping[str, Any], *, claimed: bool = True) -> list[Ratio]:
    """What is claimed depends on the processor."""
    poly, bi = measured["poly"], measured["bi"]
    quick = has_fast_bf16(torch.device("cpu"))
    peer = min((_named("usual", part) for part in PARTS), key=lambda name: min(poly[name]))
    found = [
        _ratio("poly, against the usual form", poly[peer], poly["ours"], (12 if quick else 3.5) if claimed else None)
    ]
    found.append(_ratio("   in fp32", poly[peer], poly["ours, fp32"], None))
    flat = [name for name in ("faiss", "usearch") if name in bi]
    if flat:
        best = min(flat, key=lambda name: min(bi[name]))
        found.append(_ratio(f"bi, against {best}", bi[best], bi["ours"], (3 if quick else 1) if claimed else None))
    if "sentence-transformers" in bi:
        name = "bi, against sentence-transformers"
        found.append(_ratio(name, bi["sentence-transformers"], bi["ours"], 5 if claimed and quick else None))
    return found


def shown(measured: Mapping[str, Any], found: Sequence[Ratio]) -> str:
    """The tables."""
    rows = [
        [f"{what}: {name}", *(f"{1000 * each:,.0f} ms" for each in (statistics.median(runs), min(runs)))]
        for what in ("poly", "bi")
        for name, runs in measured[what].items()
    ]
    sizes = f"{measured['candidates']:,} candidates x {measured['width']}"
    header = [
        f"{sizes}; poly: 1 context, m = {measured['vectors']}; bi: {measured['vectors']} contexts",
        "median",
        "least",
    ]
    ours = 1000 * min(measured["poly"]["ours"])
    published = f"poly: {ours:,.0f} ms for a context here; published: {PUBLISHED} (arXiv:1905.01969)"
    compared = [table(["", *RATIO_COLUMNS], [[ratio.name, *ratio.cells()] for ratio in found])] if found else []
    return "\n\n".join([table(header, rows), published, *compared])


def _ratio(name: str, better: list[float], worse: list[float], at_least: float | None) -> Ratio:
    return Ratio.of(name, better, worse, at_least=at_least)


def _named(name: str, part: int) -> str:
    return f"{name}, {part:,} at once" if part else name


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection_search", description=__doc__)
    add_common_options(parser, name="selection_search", rounds=9)
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads):
        measured = measure(smoke=options.smoke, rounds=options.rounds, threads=options.threads)
    found = ratios(measured, claimed=not options.smoke)
    print(described(facts), shown(measured, found), sep="\n\n")
    write_report(options.output, facts, ratios=found, measured=measured)


if __name__ == "__main__":
    main()
