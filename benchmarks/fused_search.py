"""Search by a fused score, exact over vectors and words, beside the search by vectors alone."""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch

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
from benchmarks.selection_search import SPREAD
from convmodel.data.conversation import ConversationReader
from convmodel.models.selection.fused_contexts import ContextWords, FusedContexts
from convmodel.models.selection.fusion import Feature, Fusion
from convmodel.models.selection.lexical import WordStatistics, WordTable
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.query import Term
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

K = 10
AT_MOST = 1.5
"""The largest claimed time of a fused search of one context, of that of the dense search."""

SHAPES = {"bi, D = 384": (1, 384), "bi, D = 768": (1, 768), "poly, m = 64, D = 768": (64, 768)}

WEIGHTS = {
    **{"encoder_context": 1.0, "encoder_last_turn": 0.5, "bm25_context": 0.8, "bm25_last_turn": 0.2},
    **{"log_length": -0.2, "said_already": 0.1},
}
"""Of the size of those that are learned on ubuntu_irc."""

PERSONA = ["I have two cats.", "I live by the sea.", "My mother is a nurse.", "I like music.", "I work in a bank."]


def read_turns(data: str, count: int) -> tuple[list[str], list[list[str]]]:
    """Return distinct turns of a file of conversations, and contexts of six turns."""
    turns: dict[str, None] = {}
    contexts = []
    for conversation in ConversationReader(data):
        turns.update(dict.fromkeys(conversation.turns))
        contexts.append(list(conversation.turns[:6]))
        if len(turns) >= count:
            break
    return list(islice(turns, count)), contexts


def contenders(
    words: WordTable,
    statistics: WordStatistics,
    contexts: Sequence[Sequence[str]],
    shape: tuple[int, int],
    persona: Sequence[str],
) -> dict[str, Callable[[], object]]:
    """Searches of the same contexts among the same candidates, by vectors and by vectors and words."""
    codes, width = shape
    scale = (SPREAD / width**0.5) ** 0.5
    vectors = CandidateMatrix(torch.randn(len(words), width) * scale)
    encoded = EncodedContexts(
        torch.randn(len(contexts), codes, width) * scale, torch.ones(len(contexts), codes, dtype=torch.bool)
    )
    one = EncodedContexts(encoded.vectors[:, :1] * 0.9, encoded.mask[:, :1])
    terms = {"encoder_context": Term(encoded), "encoder_last_turn": Term(one)}
    weights = dict(WEIGHTS)
    if persona:
        several = torch.randn(len(contexts), len(persona), width) * scale
        mask = torch.ones(several.shape[:2], dtype=torch.bool)
        terms["encoder_persona"] = Term(EncodedContexts(several, mask), attends=False)
        weights |= {"encoder_persona": 0.5, "bm25_persona": 0.2}
    fusion = Fusion({name: Feature(weight) for name, weight in weights.items()}, statistics)
    candidates = CandidateTable(vectors, lambda: words)
    fused = FusedContexts(fusion, [ContextWords.of(context, persona) for context in contexts], terms)
    return {
        "dense": lambda: search_exact(encoded, vectors, K).ids.tolist(),
        "fused": lambda: fused.search(candidates, K).ids.tolist(),
    }


def measure(*, data: str, smoke: bool, rounds: int = 9) -> dict[str, Any]:
    """Return seconds of each round by case and contender."""
    torch.manual_seed(0)
    texts, contexts = read_turns(data, 2_000 if smoke else 100_000)
    words, statistics = WordTable.of(texts), WordStatistics.of(texts)
    measured: dict[str, Any] = {"candidates": len(texts)}
    for name, shape in SHAPES.items():
        for count, persona in ((1, []), (1, PERSONA), (16, [])):
            runs = contenders(words, statistics, contexts[:count], shape, persona)
            for run in runs.values():
                run()  # makes the int8 copy and the index of words
            case = f"{name}; {count} context{'s' * (count > 1)}{', 5 persona sentences' * bool(persona)}"
            timed = {contender: partial(_seconds, run) for contender, run in runs.items()}
            measured[case] = interleave(timed, 1 if smoke else rounds)
            tell(f"{case}: measured")
    return measured


def ratios(measured: dict[str, Any], *, claimed: bool = True) -> list[Ratio]:
    """Return how many times as fast the fused search is; the claim is for one context."""
    return [
        Ratio.of(case, runs["dense"], runs["fused"], at_least=1 / AT_MOST if claimed and "; 1 " in case else None)
        for case, runs in measured.items()
        if case != "candidates"
    ]


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def shown(measured: dict[str, Any], found: Sequence[Ratio]) -> str:
    """Return the tables."""
    rows = [
        [case, *(f"{1000 * min(runs[name]):,.1f} ms" for name in ("dense", "fused"))]
        for case, runs in measured.items()
        if case != "candidates"
    ]
    header = [f"{measured['candidates']:,} candidates, the {K} best", "dense, least", "fused, least"]
    compared = table(["", *RATIO_COLUMNS], [[each.name, *each.cells()] for each in found])
    return "\n\n".join([table(header, rows), compared])


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused_search", description=__doc__)
    add_common_options(parser, name="fused_search", rounds=9)
    text = "conversations whose turns are the candidates, such as ../shared/data/self_dialogue/train.jsonl"
    parser.add_argument("--data", default="examples/data/train.jsonl", metavar="FILE", help=text)
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads):
        measured = measure(data=options.data, smoke=options.smoke, rounds=options.rounds)
    found = ratios(measured, claimed=not options.smoke)
    print(described(facts), shown(measured, found), sep="\n\n")
    write_report(options.output, facts, ratios=found, measured=measured)


if __name__ == "__main__":
    main()
