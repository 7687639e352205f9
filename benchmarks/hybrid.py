"""A model that writes, one that chooses and held-out conversations in, what the two come to together out.

Two questions, each for the writer alone, the chooser alone, and the hybrid: how often does the real reply stand first
in a pool that holds it, and how good are the replies where nobody is given it.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    ROOT,
    add_common_options,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from convmodel.data.conversation import ConversationReader
from convmodel.data.selection_example import SelectionExample, SelectionReader, open_reader
from convmodel.generation.request import derive_seed
from convmodel.metrics.bootstrap import percentile_interval, resample
from convmodel.metrics.diversity import distinct, repeated_share
from convmodel.metrics.metric import Metric, ratio
from convmodel.metrics.overlap import f1
from convmodel.metrics.ranking import rank
from convmodel.metrics.repetition import count_repeats_from
from convmodel.models.rerankers import Likelihood, Scorer, SelectorScorer, score_candidates
from convmodel.models.selection.selector import Selector
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid
from convmodel.responders.protocol import Reply, Responder
from convmodel.responders.writer import Writer

POOL = 20
"""Candidates of a pool with the real reply, where the data has none."""

NEAREST = 5
"""Of the pool, so many are chosen and ranked again by what did not choose them."""


GROUP = 64
"""Replies that are asked for at a time."""


@dataclass(frozen=True)
class Found:
    """A number with its 95 % interval over conversations.

    Args:
        value: the number.
        low, high: from the bootstrap; nan where there is none.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def cell(self) -> str:
        """As it stands in a table."""
        if self.value != self.value:
            return ""
        return f"{self.value:.3f}" if self.low != self.low else f"{self.value:.3f} ({self.low:.3f} .. {self.high:.3f})"


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    options = _options(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads), ExitStack() as stack:
        if options.smoke:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options.model, options.selector = _tiny(folder)
        examples = list(islice(held_out(options.data), options.limit))
        candidates = replies_of(options.candidates)[: options.most_candidates]
        tell(f"{len(examples):,} examples, {len(candidates):,} candidates")
        selector = Selector.from_pretrained(options.selector, dtype="float32")
        writer = stack.enter_context(Writer.from_pretrained(options.model, dtype="float32"))
        chooser = stack.enter_context(Chooser(selector, candidates, options={"num_candidates": options.num_candidates}))
        ranked = ranking(examples, Likelihood(writer.model), SelectorScorer(selector))
        replied = replying(examples, writer, chooser, num_replies=options.num_replies)
    for head, rows in (("the real reply in its pool", ranked), ("replies", replied)):
        names = list(next(iter(rows.values())))
        print(
            table([head, *names], [[name, *(row[n].cell() for n in names)] for name, row in rows.items()]), end="\n\n"
        )
    print(described(facts))
    measured = {"model": Path(options.model).name, "selector": Path(options.selector).name, "examples": len(examples)}
    measured |= {"candidates": len(candidates), "ranking": _plain(ranked), "replies": _plain(replied)}
    write_report(options.output, facts, ratios=[], measured=measured)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hybrid", description=__doc__)
    parser.add_argument("--model", default="model", help="the folder of a model that writes (default: model)")
    parser.add_argument("--selector", default="selector", help="that of a model that chooses (default: selector)")
    data = ROOT / "examples" / "data"
    parser.add_argument("--data", default=str(data / "test.jsonl"), help="held-out conversations, or given candidates")
    parser.add_argument(
        "--candidates", default=str(data / "train.jsonl"), help="conversations whose replies are chosen"
    )
    parser.add_argument("--most_candidates", type=int, default=20_000, help="of them at most (default: 20000)")
    parser.add_argument("--limit", type=int, default=200, help="held-out replies (default: 200)")
    parser.add_argument("--num_replies", type=int, default=4, help="that are written (default: 4)")
    parser.add_argument("--num_candidates", type=int, default=10, help="that are chosen (default: 10)")
    add_common_options(parser, name="hybrid", rounds=1)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.limit, options.most_candidates = 6, 50
    return options


def held_out(path: str) -> Iterator[SelectionExample]:
    """Contexts with their real replies: those of the file, or the last turn of each conversation among others'."""
    reader = open_reader(path)
    if isinstance(reader, SelectionReader):
        yield from reader
        return
    conversations = [one for one in reader if len(one.turns) > 1]
    lasts = list(dict.fromkeys(one.turns[-1].strip() for one in conversations))
    for number, one in enumerate(conversations):
        gold = one.turns[-1].strip()
        drawn = random.Random(number).sample(lasts, min(POOL, len(lasts)))
        others = [text for text in drawn if text != gold][: POOL - 1]
        yield SelectionExample(one.turns[:-1], (*others, gold), len(others), one.persona)


def replies_of(path: str) -> list[str]:
    """Return the distinct replies of a file of conversations in random order."""
    found = list(dict.fromkeys(turn.strip() for one in ConversationReader(path) for turn in one.turns[1:]))
    random.Random(0).shuffle(found)
    return found


# The real reply in its pool


def ranking(examples: Sequence[SelectionExample], written: Scorer, chosen: Scorer) -> dict[str, dict[str, Found]]:
    """Return hits@1 and the mean reciprocal rank of the real reply for each ranking of its pool."""
    orders: dict[str, list[list[float]]] = {"writer": [], "chooser": [], "hybrid": [], "hybrid by likelihood": []}
    for example in examples:
        by_likelihood, by_selector = (
            score_candidates(scorer, example.context, example.candidates, persona=example.persona)
            for scorer in (written, chosen)
        )
        orders["writer"].append(by_likelihood)
        orders["chooser"].append(by_selector)
        orders["hybrid"].append(ranked_again(by_likelihood, by_selector))
        orders["hybrid by likelihood"].append(ranked_again(by_selector, by_likelihood))
    gold = [example.gold for example in examples]
    found = {}
    for name, scores in orders.items():
        places = [one.ranks[0] for one in rank(scores, gold)]
        found[name] = {
            "hits@1": _mean([float(place == 1) for place in places]),
            "MRR": _mean([1 / place for place in places]),
        }
    return found


def ranked_again(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Scores of an order: the nearest by the first scores, in the order of the second; then the others by the first."""
    order = sorted(range(len(first)), key=lambda n: -first[n])
    nearest = sorted(order[:NEAREST], key=lambda n: -second[n])
    places = {number: place for place, number in enumerate([*nearest, *order[NEAREST:]])}
    return [float(-places[number]) for number in range(len(first))]


# Replies


def replying(
    examples: Sequence[SelectionExample], writer: Responder, chooser: Chooser, *, num_replies: int
) -> dict[str, dict[str, Found]]:
    """Return measures of the replies of each part and of both, without the real reply among the candidates."""
    several = {"num_return_sequences": num_replies}
    by_selector = Hybrid(writer, chooser)
    by_likelihood = Hybrid(writer, chooser, scorer="likelihood")  # close nothing
    systems: dict[str, tuple[Responder, dict[str, Any]]] = {
        "writer, one": (writer, {}),
        f"writer, best of {num_replies}": (writer, several),
        "chooser": (chooser, {}),
        "hybrid": (by_selector, several),
        "hybrid by likelihood": (by_likelihood, several),
    }
    found = {name: _measured(examples, *system) for name, system in systems.items()}
    found["the real replies"] = _measures(examples, [example.response for example in examples], [])
    return found


def _measured(examples: Sequence[SelectionExample], responder: Responder, options: dict[str, Any]) -> dict[str, Found]:
    replies: list[Reply] = []
    for start in range(0, len(examples), GROUP):
        begun = [
            responder.start(one.context, persona=one.persona, options=options, seed=derive_seed(0, number) % 2**32)
            for number, one in enumerate(examples[start : start + GROUP], start)
        ]
        replies += [each.result() for each in begun]
    chosen = [float(reply.candidates[0].source != "written") for reply in replies]
    return _measures(examples, [reply.text for reply in replies], chosen)


def _measures(examples: Sequence[SelectionExample], texts: Sequence[str], chosen: Sequence[float]) -> dict[str, Found]:
    said = [count_repeats_from(example.context, text, 4) for example, text in zip(examples, texts, strict=True)]
    units = [[text] for text in texts]
    return {
        "F1": _mean([f1(text, example.response) for text, example in zip(texts, examples, strict=True)]),
        "distinct-2": Found(distinct(units, 2)[0]),
        "said before": _interval(np.array(said, dtype=float)),
        "the same": Found(repeated_share(units)[0]),
        "chosen": Found(sum(chosen) / len(chosen) if chosen else float("nan")),
    }


def _mean(values: Sequence[float]) -> Found:
    return _interval(np.array([(value, 1.0) for value in values]).reshape(-1, 2))


def _interval(rows: np.ndarray) -> Found:
    """A share, and how far chance could have moved it."""
    metric = Metric("", rows, ratio)
    [values] = resample([metric], resamples=1000, seed=0)
    return Found(metric.value, *percentile_interval(values))


def _plain(rows: dict[str, dict[str, Found]]) -> dict[str, dict[str, Any]]:
    """Return the measures with null for nan, which JSON does not have."""
    return {
        name: {key: {k: None if v != v else v for k, v in asdict(one).items()} for key, one in row.items()}
        for name, row in rows.items()
    }


def _tiny(folder: Path) -> tuple[str, str]:
    """Return untrained models for a smoke test."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from convmodel.models.conversation_model import ConversationModel
    from convmodel.models.selection.bi_encoder import BiEncoder
    from convmodel.models.selection.encoder import NewEncoder
    from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

    tokenizer = ConversationTokenizer.learn(replies_of(str(ROOT / "examples" / "data" / "test.jsonl")), 300)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_layer=1, n_head=1, n_embd=8)
    ConversationModel(GPT2LMHeadModel(config), tokenizer).save_pretrained(folder / "model")
    sizes = NewEncoder("bert", layers=1, heads=1, width=8, positions=256)
    BiEncoder.untrained(tokenizer, sizes, max_context=200).save_pretrained(folder / "selector")
    return str(folder / "model"), str(folder / "selector")


if __name__ == "__main__":
    main()
