"""A model and data in, a report on the terminal and in a folder out."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from convmodel.cli.command import Command
from convmodel.cli.responder_options import print_choices

TURNS = ("all", "last", "last_speaker", "first_speaker", "second_speaker")


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the folder of a model, or a Hub name")
    add("--data", required=True, metavar="FILE", help="a file in any format, or hub://org/name?split=test; see above")
    add("--as", dest="kind", choices=("documents",), help="what a plain GPT-2 writes: documents (default: replies)")
    add("--compare", metavar="REPORT", help="the report of another model on the same data: which differences are real?")
    add("--output", metavar="DIR", help="the folder of the report (default: evaluation/MODEL-DATA-...)")
    add(
        "--limit",
        type=int,
        metavar="N",
        help="replied to or continued at most, spread evenly; 0: all (choosing 0, others 500)",
    )
    add("--seed", type=int, default=0, help="of what is written or drawn and of the bootstrap (default: 0)")
    add("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (default: 2000)")
    add("--device", metavar="NAME", help="cpu, cuda, ... (default: an accelerator when there is one)")
    add("--on_error", choices=("stop", "skip"), default="stop", help="what to do with a line that cannot be read")
    turns = parser.add_argument_group("models that reply, by writing or choosing")
    turns.add_argument("--turns", choices=TURNS, default="last", help="which turns are replied to (default: last)")
    _add_writing(parser.add_argument_group("models that write").add_argument)
    _add_documents(parser.add_argument_group("models that write documents").add_argument)
    choosing = parser.add_argument_group("models that choose, where the file gives no candidates")
    choosing.add_argument("--pool", type=int, metavar="N", help="candidates of a reply, itself and drawn ones (20)")


def _add_writing(add: Callable[..., object]) -> None:
    add("--perplexity_on", choices=TURNS, default="all", help="of replies: the turns of which it is (default: all)")
    add(
        "--option",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="how to decode, as in transformers' generate: top_p=0.9 (default: replies as the model's folder says; "
        "documents greedily, 100 tokens)",
    )
    add("--preset", metavar="NAME", help="options by name: balanced, careful, lively; --option wins over them")
    add(
        "--bleu_tokenize",
        default="13a",
        metavar="NAME",
        help="of replies, sacrebleu's: 13a, char, zh, ja-mecab, ... (13a)",
    )
    add("--tokens_per_batch", type=int, default=4096, metavar="N", help="read at once for perplexity (default: 4096)")


def _add_documents(add: Callable[..., object]) -> None:
    add("--prompt_words", type=int, default=50, metavar="N", help="words that the model goes on with (default: 50)")
    add("--overlap", type=int, default=64, metavar="N", help="tokens that windows of a long one share (default: 64)")
    add("--no_meta", dest="meta", action="store_false", help="read documents without their metas")


def _run(options: Namespace) -> int:
    try:  # everything heavy is imported here, so that --help is instant
        from convmodel.reports.evaluation import EvaluationOptions, evaluate
        from convmodel.reports.evaluation.evaluate import check_output, default_output, load_report, task_of
        from convmodel.reports.evaluation.model_facts import parse_decoding
        from convmodel.reports.evaluation.terminal import show
    except ModuleNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    kind = task_of(options.model, options.kind)
    asked = EvaluationOptions(
        turns=options.turns,
        perplexity_on=options.perplexity_on,
        limit=options.limit,
        pool=options.pool,
        prompt_words=options.prompt_words,
        overlap=options.overlap,
        meta=options.meta,
        decoding=parse_decoding(options.option, preset=options.preset, presets=kind.presets),
        seed=options.seed,
        resamples=options.resamples,
        bleu_tokenize=options.bleu_tokenize,
        tokens_per_batch=options.tokens_per_batch,
    )
    # What would fail at the end fails at the beginning.
    if options.output is not None:
        check_output(options.output)
    if options.compare is not None:
        load_report(options.compare)
    found = evaluate(
        options.model, options.data, kind=kind.name, options=asked, device=options.device, on_error=options.on_error
    )
    folder = options.output or default_output(found.report)
    if options.compare is not None:
        try:
            found = found.compared_with(options.compare)
        except (ValueError, OSError):
            found.save(folder)  # what was measured is not lost with the comparison
            raise
    found.save(folder)
    show(found.report, found.comparison, Console())
    print_choices(options, "evaluation", dtype="float32")
    print(f"report: {Path(folder) / 'report.html'}; the numbers, and all examples line by line, lie beside it")
    return 0


COMMAND = Command(
    name="evaluate",
    help="measure a model on conversations or documents, and compare it with another",
    description=(
        "The folder says which kind of model it is. One that writes (config.json): its perplexity, and its replies "
        "beside the gold ones. One that chooses (selector.json): where the gold reply comes among candidates, R_n@k or "
        "hits@k/n; the file gives them, or is one of plain conversations, and they are drawn from it. One that writes "
        "documents (document.json): its perplexity, and how it goes on with their beginnings. An option that means "
        "nothing for the model is an error. See docs/evaluation.md."
    ),
    add_options=_add_options,
    run=_run,
)
