"""Candidates and a model in, an index out: made, added to, taken from, and tried."""

import io
import json
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Any

from convmodel.cli.command import Command
from convmodel.cli.responder_options import print_choices

BATCH, BEST = 2_048, 10
"""What --batch and --k are where nobody says."""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a bi-encoder, a poly-encoder or ConveRT")
    parser.add_argument("--output", required=True, metavar="INDEX", help="the folder of the index")
    parser.add_argument(
        "--candidates",
        metavar="FILE",
        help='one text a line, or JSON Lines of texts or of {"text": ..., and metadata}; plain or gzipped',
    )
    parser.add_argument("--turns", action="store_true", help="FILE is one of conversations: each turn is a candidate")
    parser.add_argument("--append", action="store_true", help="add to the index that is there")
    parser.add_argument(
        "--remove",
        metavar="FILE",
        help="remove the candidates of a file, in the same form, from the index that is there",
    )
    parser.add_argument(
        "--remove_numbers", metavar="N", type=int, nargs="+", default=[], help="remove candidates by their numbers"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=BATCH,
        metavar="N",
        help="candidates that are encoded and kept at once: so many at most are lost by a kill (default: %(default)s)",
    )
    parser.add_argument("--half", action="store_true", help="keep vectors in 16 bits, in half the space")
    parser.add_argument(
        "--approximate",
        action=BooleanOptionalAction,
        default=None,
        help="search through a graph instead of all candidates; recall is measured and told "
        "(default: from a million candidates on, where the model makes one vector of a context)",
    )
    parser.add_argument("--device", help="cuda, cpu, ... (default: an accelerator where there is one)")
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="of the model's numbers; what is added later needs the same (default: auto, which is float32)",
    )
    parser.add_argument("--search", nargs="+", metavar="TURN", help="show the best candidates after these turns")
    parser.add_argument("--k", type=int, default=BEST, help="how many of them (default: %(default)s)")


def _run(options: Namespace) -> int:
    removes = options.remove is not None or bool(options.remove_numbers)
    if options.candidates is None and not removes and not options.search:
        print("error: nothing to do; give --candidates, --remove, --remove_numbers or --search", file=sys.stderr)
        return 2
    if idle := _idle(options, removes=removes):
        print(f"error: {idle}", file=sys.stderr)
        return 2
    from convmodel.models.selection.selector import Selector

    selector = Selector.from_pretrained(options.model, options.device, options.dtype)
    if removes:
        _remove(options, selector)
    if options.candidates is not None:
        _build(options, selector)
    if options.search:
        _search(options, selector)
    print_choices(options, "encoding")
    return 0


def _idle(options: Namespace, *, removes: bool) -> str | None:
    """What is wrong with options that go with others which were not given."""
    building = {"append": False, "batch": BATCH, "half": False, "approximate": None}
    useless = [name for name, left_out in building.items() if getattr(options, name) != left_out]
    if options.candidates is None and useless:
        return f"--{useless[0]} means nothing without --candidates; leave it out"
    if options.turns and options.candidates is None and options.remove is None:
        return "--turns means nothing without a file; leave it out"
    if options.k != BEST and not options.search:
        return "--k means nothing without --search; leave it out"
    if removes and options.candidates is not None and not options.append:
        return "there is something to remove and something to add; give --append, or remove first"
    return None


def _remove(options: Namespace, selector: Any) -> None:
    from convmodel.data.candidates import read_candidates
    from convmodel.models.selection.index.build import remove_candidates
    from convmodel.models.selection.index.storage import read_state

    before = read_state(_folder(options)).left
    texts = [each.text for each in read_candidates(options.remove, turns=options.turns)] if options.remove else []
    state = remove_candidates(options.output, selector, numbers=options.remove_numbers, texts=texts)
    print(f"{options.output}: {before - state.left:,} removed, {state.left:,} candidates left")


def _build(options: Namespace, selector: Any) -> None:
    from convmodel.data.candidates import read_candidates
    from convmodel.models.selection.index.build import build_index

    built = build_index(
        selector,
        read_candidates(options.candidates, turns=options.turns),
        options.output,
        append=options.append,
        dtype="float16" if options.half else "float32",
        batch=options.batch,
        approximately=options.approximate,
        progress=_Bar(),
    )
    told = [f"{built.added:,} added"]
    if built.repeated:
        told.append(f"{built.repeated:,} repeated left out")
    if built.resumed:
        told.append(f"{built.resumed:,} encoded by an earlier run")
    print(f"{options.output}: {', '.join(told)}; {built.state.left:,} candidates of {built.state.width} numbers")
    graph = built.state.graph
    if graph is None:
        print("search is exact")
    else:
        print(f"search is approximate: {graph.recall:.1%} of the exact best 10 found, mean of {graph.sample} contexts")


def _search(options: Namespace, selector: Any) -> None:
    from convmodel.cli.chat.text import one_line
    from convmodel.models.selection.index.index import CandidateIndex

    index = CandidateIndex.open(options.output, selector)
    best = index.search(selector.encode_contexts([options.search]), options.k)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # candidates may hold what the terminal cannot write
    for number, score in zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True):
        about = index.metadata(number)
        told = "" if about is None else f"  {one_line(json.dumps(about, ensure_ascii=False))}"
        print(f"{score:10.3f}  {number:>8}  {one_line(index.text(number))}{told}")


def _folder(options: Namespace) -> Any:
    from pathlib import Path

    return Path(options.output)


class _Bar:
    """Shows how many candidates are encoded, on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=total, initial=done, desc="encoding", unit=" candidates", disable=None, dynamic_ncols=True
            )
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()


COMMAND = Command(
    name="index",
    help="encode candidates once, so that replies can be chosen from them",
    description="Makes an index of candidates, adds to it, takes from it and searches it; docs/candidate-index.md.",
    add_options=_add_options,
    run=_run,
)
