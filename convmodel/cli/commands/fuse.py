"""`fuse`: learn the weights of a selector's score, BM25 and other features in a ranking."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from convmodel.cli.command import Command
from convmodel.cli.options import print_choices
from convmodel.cli.reader_options import add_reader_options, get_reader_options

if TYPE_CHECKING:
    from convmodel.models.selection.fusion_learning import LearnedFusion


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the folder of a selector, where fusion.json is written")
    text = "conversations, or examples with candidates, that the selector was not trained on and is not measured on"
    add("--data", required=True, nargs="+", metavar="FILE", help=text)
    text = "the file of the candidates that the selector will choose from; their questions become features"
    add("--candidates", metavar="FILE", help=text)
    text = (
        "candidates of a response where the data has none: the real one and sampled ones (default: 20, or all of "
        "--candidates)"
    )
    add("--pool", type=int, metavar="N", help=text)
    text = "share of correct replies that the proposed --min-score must reach (default: %(default)s)"
    add("--precision", type=float, default=0.8, metavar="P", help=text)
    text = "largest number of examples, spread evenly; 0: all (default: %(default)s)"
    add("--limit", type=int, default=5_000, metavar="N", help=text)
    add("--seed", type=int, default=0, help="seed of the sampled candidates (default: %(default)s)")
    add("--device", help="cuda, cpu, ... (default: an accelerator if there is one)")
    add_reader_options(parser.add_argument_group("reading the data"))


def _run(options: Namespace) -> int:
    from tqdm.auto import tqdm

    from convmodel.data.atomic import check_folder_writable
    from convmodel.data.candidates import distinct_candidates
    from convmodel.models.selection.fusion_learning import learn_fusion
    from convmodel.models.selection.selector import Selector
    from convmodel.models.selection.selector_files import FUSION

    folder = Path(options.model)
    if not folder.is_dir():
        raise FileNotFoundError(f"{options.model}: no such folder; give the folder of a saved selector")
    check_folder_writable(folder)  # before the model is loaded
    candidates = distinct_candidates(options.candidates) if options.candidates else ()
    selector = Selector.from_pretrained(folder, options.device, "float32", fusion=False)
    with tqdm(unit=" examples", disable=None, leave=False) as bar:
        learned = learn_fusion(
            selector,
            options.data,
            candidates=candidates,
            pool=options.pool,
            precision=options.precision,
            limit=options.limit,
            seed=options.seed,
            read_options=get_reader_options(options),
            progress=bar.update,
        )
    learned.fusion.write(folder)
    print(f"{'feature':<20}{'weight':>8}  alone first")
    for name, feature in learned.fusion.features.items():
        print(f"{name:<20}{feature.weight:>8.3f}  {learned.recall[name]:.1%}")
    examples = learned.fusion.learned_on["examples"]
    print(f"together the real response is first in {learned.fused_recall:.1%} of these {examples:,} examples")
    if learned.fusion.last_turn_only:
        print("all contexts have one turn: the selector reads the last turn of a conversation only")
    _print_precision(learned, options.precision)
    print_choices(options, "encoding", dtype="float32")
    print(f"{folder / FUSION}: written; every command that loads this selector uses it, unless --no-fusion is given")
    return 0


def _print_precision(learned: "LearnedFusion", wanted: float) -> None:
    """Print precision and coverage at thresholds, and the proposed threshold."""
    proposed = learned.fusion.calibration
    assert proposed is not None
    print(f"\n{'min_score':<14}{'right':>8}{'answered':>10}{'answered though no candidate is right':>40}")
    for row in learned.table:
        mark = "*" if row.threshold == proposed.threshold else ""
        right = "–" if row.precision is None else f"{row.precision:.1%}"
        print(f"{row.threshold:<4.2f}{mark:<10}{right:>8}{row.coverage:>10.1%}{row.unanswerable:>40.1%}")
    missed = "" if proposed.precision >= wanted else f"; no threshold reaches {wanted:.0%}"
    print(
        f"* --min-score auto: {proposed.precision:.1%} of the replies are right, if half of the questions have no "
        f"right candidate{missed}\n"
    )


COMMAND = Command(
    name="fuse",
    help="add BM25 and other features to a selector's score, with learned weights",
    description="Learns how much the score of a selector, BM25, the last turn, the persona and the length count, from "
    "examples that are held out, and writes fusion.json into the selector's folder. See docs/selection.md.",
    add_options=_add_options,
    run=_run,
    examples=["--model selector --data valid.jsonl"],
)
