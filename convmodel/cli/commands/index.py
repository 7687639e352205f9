"""`index`: build, extend, reduce and search an index of candidates."""

import io
import json
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path
from typing import Any

from convmodel.cli.command import Command
from convmodel.cli.machines import add_machine_options, check_machines, choose_runner, shares_work
from convmodel.cli.options import add_fusion_option, print_choices
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.data.options import name_flag

DEFAULT_BATCH = 2_048
DEFAULT_K = 10
SHARDS = 16
"""Number of parts in which Ray searches an index."""


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="DIR", help="a bi-encoder, a poly-encoder or ConveRT")
    text = "compare words instead of vectors: INDEX becomes a selector, too (chat --selector INDEX)"
    add("--lexical", action="store_true", help=text)
    add_fusion_option(parser)
    add("--output", required=True, metavar="INDEX", help="the folder of the index")
    text = (
        'one text per line, JSON of texts or of {"text": ..., and metadata}, or a table with the column text; '
        "files, packed or not, folders, or hub://..."
    )
    add("--candidates", nargs="+", metavar="FILE", help=text)
    add("--turns", action="store_true", help="FILE has conversations: each turn is a candidate")
    add("--append", action="store_true", help="add to the existing index")
    text = "remove the candidates of a file, in the same format, from the existing index"
    add("--remove", nargs="+", metavar="FILE", help=text)
    text = "remove candidates by their numbers"
    add("--remove-numbers", metavar="N", type=int, nargs="+", default=[], help=text)
    text = "candidates encoded and saved at a time; an interruption loses at most that many (default: %(default)s)"
    add("--batch", type=int, default=DEFAULT_BATCH, metavar="N", help=text)
    add("--half", action="store_true", help="store vectors with 16 bits, in half the space")
    text = (
        "search a graph instead of all candidates; its recall is measured and printed "
        "(default: from a million candidates on, if the model has one vector per context)"
    )
    add("--approximate", action=BooleanOptionalAction, default=None, help=text)
    add("--device", help="cuda, cpu, ... (default: an accelerator if there is one)")
    text = "dtype of the model; later additions need the same (default: auto, which is float32)"
    add("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help=text)
    add_reader_options(parser.add_argument_group("reading candidates"))
    add_machine_options(parser, default="this one alone")
    add("--search", nargs="+", metavar="TURN", help="show the best candidates after these turns")
    add("--k", type=int, default=DEFAULT_K, help="number of results (default: %(default)s)")


def _run(options: Namespace) -> int:
    removes = options.remove is not None or bool(options.remove_numbers)
    check_machines(options)
    if conflict := _find_conflict(options, removes=removes):
        print(f"error: {conflict}", file=sys.stderr)
        return 2
    from convmodel.data.atomic import check_folder_writable

    changes = removes or options.candidates is not None
    if changes:
        check_folder_writable(options.output)  # before the model is loaded
    selector = _load(options)
    if removes:
        _remove(options, selector)
    if options.candidates is not None:
        _build(options, selector)
    if changes and options.lexical:
        from convmodel.models.selection.index.lexical_folder import save_lexical

        selector = save_lexical(options.output)
    if options.search:
        _search(options, selector)
    if not options.lexical:
        print_choices(options, "encoding")
    return 0


def _load(options: Namespace) -> Any:
    """Load and return the selector that the options name."""
    from convmodel.models.selection.index.lexical_folder import lexical_selector
    from convmodel.models.selection.selector import Selector

    if options.lexical:
        return lexical_selector(options.output)
    return Selector.from_pretrained(options.model, options.device, options.dtype, fusion=options.fusion)


def _find_conflict(options: Namespace, *, removes: bool) -> str | None:
    """Return an error message if an option requires a missing option or contradicts another; otherwise None."""
    if options.candidates is None and not removes and not options.search:
        return "nothing to do; give --candidates, --remove, --remove-numbers or --search"
    if (options.model is None) != options.lexical:
        return "give either --model DIR, or --lexical to compare words without a model"
    of_vectors = {"half": False, "approximate": None, "device": None, "dtype": "auto"}
    unused = [name for name, default in of_vectors.items() if getattr(options, name) != default]
    if options.lexical and unused:
        return f"{name_flag(unused[0])} has no effect with --lexical, which has no vectors; leave it out"
    building = {"append": False, "batch": DEFAULT_BATCH, "half": False, "approximate": None}
    unused = [name for name, default in building.items() if getattr(options, name) != default]
    if options.candidates is None and unused:
        return f"{name_flag(unused[0])} has no effect without --candidates; leave it out"
    unused = [name for name in ("workers", "ray") if getattr(options, name) is not None]
    if unused and not options.search and (options.candidates is None or options.lexical):
        return f"{name_flag(unused[0])} has no effect here, where nothing is encoded or searched; leave it out"
    if options.turns and options.candidates is None and options.remove is None:
        return "--turns has no effect without a file; leave it out"
    if options.k != DEFAULT_K and not options.search:
        return "--k has no effect without --search; leave it out"
    if removes and options.candidates is not None and not options.append:
        return "there are candidates to remove and to add; give --append, or remove first"
    return None


def _remove(options: Namespace, selector: Any) -> None:
    from convmodel.data.candidates import read_candidates
    from convmodel.models.selection.index.build import remove_candidates
    from convmodel.models.selection.index.storage import read_state

    before = read_state(Path(options.output)).left
    candidates = (
        read_candidates(options.remove, get_reader_options(options), turns=options.turns) if options.remove else ()
    )
    texts = [candidate.text for candidate in candidates]
    state = remove_candidates(options.output, selector, numbers=options.remove_numbers, texts=texts)
    print(f"{options.output}: {before - state.left:,} removed, {state.left:,} candidates left")


def _build(options: Namespace, selector: Any) -> None:
    from convmodel.data.candidates import read_candidates
    from convmodel.models.selection.index.build import build_index

    built = build_index(
        selector,
        read_candidates(options.candidates, get_reader_options(options), turns=options.turns),
        options.output,
        append=options.append,
        dtype="float16" if options.half else "float32",
        batch=options.batch,
        approximately=options.approximate,
        progress=_ProgressBar(),
        workers=_workers(options),
    )
    counts = [f"{built.added:,} added"]
    if built.repeated:
        counts.append(f"{built.repeated:,} repeated left out")
    if built.resumed:
        counts.append(f"{built.resumed:,} encoded by an earlier run")
    what = "compared by words" if options.lexical else f"of {built.state.width} numbers"
    print(f"{options.output}: {', '.join(counts)}; {built.state.left:,} candidates {what}")
    graph = built.state.graph
    if graph is None:
        print("search is exact")
    else:
        print(f"search is approximate: {graph.recall:.1%} of the exact best 10 found, mean of {graph.sample} contexts")


def _workers(options: Namespace) -> Any:
    """Return the processes that encode candidates, or None to encode them in this one."""
    from convmodel.models.selection.index.encoding import EncoderSource, EncoderWorkers

    if options.lexical or not shares_work(options):
        return None
    source = EncoderSource(options.model, options.device, options.dtype)
    return EncoderWorkers(source, choose_runner(options, computing=True))


def _search(options: Namespace, selector: Any) -> None:
    from convmodel.cli.chat.screen import to_one_line
    from convmodel.models.selection.index.index import CandidateIndex
    from convmodel.models.selection.index.shards import IndexSource, search_in_workers

    index = CandidateIndex.open(options.output, selector)
    if shares_work(options):
        source = IndexSource(options.output, options.model, options.device, options.dtype, options.fusion)
        shards = options.workers or SHARDS
        best = search_in_workers(
            source, [options.search], options.k, shards=shards, run_all=choose_runner(options, computing=True)
        )
    else:
        best = index.search(selector.encode_contexts([options.search]), options.k)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the terminal cannot encode
    for number, score in zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True):
        metadata = index.metadata(number)
        suffix = "" if metadata is None else f"  {to_one_line(json.dumps(metadata, ensure_ascii=False))}"
        print(f"{score:10.3f}  {number:>8}  {to_one_line(index.text(number))}{suffix}")


class _ProgressBar:
    """Progress bar of the encoding, shown on a terminal."""

    _bar: Any = None

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
    help="encode candidates once, so that replies can be selected from them",
    description="Builds an index of candidates, adds to it, removes from it and searches it; see "
    "docs/candidate-index.md.",
    add_options=_add_options,
    run=_run,
    examples=[
        "--model selector --candidates replies.txt --output index",
        "--model selector --output index --search 'How are you?'",
    ],
)
