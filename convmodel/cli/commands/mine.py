"""`mine`: mine hard negatives for a file of conversations."""

from argparse import ArgumentParser, Namespace

from convmodel.cli.command import Command
from convmodel.cli.options import add_fusion_option, print_choices
from convmodel.cli.reader_options import add_reader_options, get_reader_options


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="a trained bi- or poly-encoder, or ConveRT")
    add("--input", required=True, nargs="+", metavar="FILE", help="conversations, or examples with candidates")
    add("--output", required=True, metavar="FILE", help="the JSON Lines file to write")
    add("--negatives", type=int, default=9, metavar="N", help="negatives per example (default: 9)")
    text = "leave out the N best, which may be correct (default: 0)"
    add("--skip", type=int, default=0, metavar="N", help=text)
    add_fusion_option(parser)
    add("--device", help="cuda, cpu, ... (default: an accelerator if there is one)")
    add_reader_options(parser.add_argument_group("reading the input"))


def _run(options: Namespace) -> int:
    from tqdm.auto import tqdm

    from convmodel.data.atomic import check_file_writable
    from convmodel.models.selection.fused_selector import require_searching
    from convmodel.models.selection.hard_negatives import mine
    from convmodel.models.selection.selector import Selector

    check_file_writable(options.output)  # before the model is loaded
    loaded = Selector.from_pretrained(options.model, device=options.device, fusion=options.fusion)
    selector = require_searching(loaded, remedy=f"mine with a model that encodes candidates, not {options.model}")
    with tqdm(unit=" examples", disable=None, leave=False) as bar:
        written = mine(
            selector,
            options.input,
            options.output,
            negatives=options.negatives,
            skip=options.skip,
            read_options=get_reader_options(options),
            progress=bar.update,
        )
    print_choices(options, "encoding", dtype="float32")
    print(f"{options.output}: {written:,} examples written, each with up to {options.negatives} distractors")
    return 0


COMMAND = Command(
    name="mine",
    help="find hard negatives for a file of conversations",
    description="Writes every response with the other responses that a trained selector scores highest; train on them "
    "with data.distractors. See docs/selection.md.",
    add_options=_add_options,
    run=_run,
    examples=["--model selector --input train.jsonl --output hard.jsonl"],
)
