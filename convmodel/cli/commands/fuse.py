"""`fuse`: learn the weights of a selector's score, BM25 and other features in a ranking."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from convmodel.cli.command import Command
from convmodel.cli.options import print_choices
from convmodel.cli.reader_options import add_reader_options, get_reader_options


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the folder of a selector, where fusion.json is written")
    text = "conversations, or examples with candidates, that the selector was not trained on and is not measured on"
    add("--data", required=True, nargs="+", metavar="FILE", help=text)
    text = "candidates of a response where the file has none: the real one and sampled ones (default: %(default)s)"
    add("--pool", type=int, default=20, metavar="N", help=text)
    text = "largest number of examples, spread evenly; 0: all (default: %(default)s)"
    add("--limit", type=int, default=5_000, metavar="N", help=text)
    add("--seed", type=int, default=0, help="seed of the sampled candidates (default: %(default)s)")
    add("--device", help="cuda, cpu, ... (default: an accelerator if there is one)")
    add_reader_options(parser.add_argument_group("reading the data"))


def _run(options: Namespace) -> int:
    from tqdm.auto import tqdm

    from convmodel.data.atomic import check_folder_writable
    from convmodel.models.selection.fusion_learning import learn_fusion
    from convmodel.models.selection.selector import Selector
    from convmodel.models.selection.selector_files import FUSION

    folder = Path(options.model)
    if not folder.is_dir():
        raise FileNotFoundError(f"{options.model}: no such folder; give the folder of a saved selector")
    check_folder_writable(folder)  # before the model is loaded
    selector = Selector.from_pretrained(folder, options.device, "float32", fusion=False)
    with tqdm(unit=" examples", disable=None, leave=False) as bar:
        learned = learn_fusion(
            selector,
            options.data,
            pool=options.pool,
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
    print_choices(options, "encoding", dtype="float32")
    print(f"{folder / FUSION}: written; whatever loads this selector uses it, except with --no-fusion")
    return 0


COMMAND = Command(
    name="fuse",
    help="add BM25 and other features to a selector's score, with learned weights",
    description="Learns how much the score of a selector, BM25, the last turn, the persona and the length count, from "
    "examples that are held out, and writes fusion.json into the selector's folder. See docs/selection.md.",
    add_options=_add_options,
    run=_run,
    examples=["--model selector --data valid.jsonl"],
)
