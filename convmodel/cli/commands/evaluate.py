"""`evaluate`: evaluate a model on a data set and write a report."""

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
    add("--as", dest="kind", choices=("documents",), help="the output of a plain GPT-2: documents (default: replies)")
    add(
        "--compare",
        metavar="REPORT",
        help="the report of another model on the same data, for a significance test of the differences",
    )
    add("--output", metavar="DIR", help="the folder of the report (default: evaluation/MODEL-DATA-...)")
    add(
        "--limit",
        type=int,
        metavar="N",
        help="maximum number of examples, spread evenly; 0: all (default: 0 for selectors, 500 for others)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of generation, of sampled candidates and of the bootstrap (default: 0)",
    )
    add("--resamples", type=int, default=2000, metavar="N", help="resamples of the bootstrap (default: 2000)")
    add("--device", metavar="NAME", help="cpu, cuda, ... (default: an accelerator if there is one)")
    add("--on_error", choices=("stop", "skip"), default="stop", help="what to do with a line that cannot be read")
    turns = parser.add_argument_group("models that generate or select replies")
    turns.add_argument("--turns", choices=TURNS, default="last", help="turns to reply to (default: last)")
    _add_writing(parser.add_argument_group("generative models").add_argument)
    _add_documents(parser.add_argument_group("document models").add_argument)
    choosing = parser.add_argument_group("selectors, for files without candidates")
    choosing.add_argument(
        "--pool", type=int, metavar="N", help="candidates per reply: the gold one and sampled ones (default: 20)"
    )


def _add_writing(add: Callable[..., object]) -> None:
    add(
        "--perplexity_on",
        choices=TURNS,
        default="all",
        help="for replies: turns that count for the perplexity (default: all)",
    )
    add(
        "--option",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="a decoding option of transformers' generate: top_p=0.9 (default: for replies those of the model's "
        "folder; "
        "for documents greedy decoding of 100 tokens)",
    )
    add("--preset", metavar="NAME", help="a named set of options: balanced, careful, lively; --option overrides it")
    add(
        "--bleu_tokenize",
        default="13a",
        metavar="NAME",
        help="for replies: sacrebleu's tokenizer: 13a, char, zh, ja-mecab, ... (default: 13a)",
    )
    add(
        "--tokens_per_batch",
        type=int,
        default=4096,
        metavar="N",
        help="tokens per batch for the perplexity (default: 4096)",
    )


def _add_documents(add: Callable[..., object]) -> None:
    add("--prompt_words", type=int, default=50, metavar="N", help="words of the prompt (default: 50)")
    add(
        "--overlap",
        type=int,
        default=64,
        metavar="N",
        help="tokens shared by adjacent windows of a long document (default: 64)",
    )
    add("--no_meta", dest="meta", action="store_false", help="ignore the metadata of the documents")


def _run(options: Namespace) -> int:
    try:  # heavy imports are here, so that --help is fast
        from convmodel.reports.evaluation import EvaluationOptions, evaluate
        from convmodel.reports.evaluation.evaluate import check_output, default_output, task_of
        from convmodel.reports.evaluation.model_facts import parse_decoding
        from convmodel.reports.evaluation.report import load_report
        from convmodel.reports.evaluation.terminal import show
    except ModuleNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    kind = task_of(options.model, options.kind)
    settings = EvaluationOptions(
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
    # Check the output and the other report first, so that an error does not cost the evaluation.
    if options.output is not None:
        check_output(options.output)
    if options.compare is not None:
        load_report(options.compare)
    evaluation = evaluate(
        options.model, options.data, kind=kind.name, options=settings, device=options.device, on_error=options.on_error
    )
    folder = options.output or default_output(evaluation.report)
    if options.compare is not None:
        try:
            evaluation = evaluation.compared_with(options.compare)
        except (ValueError, OSError):
            evaluation.save(folder)  # keep the results although the comparison failed
            raise
    evaluation.save(folder)
    show(evaluation.report, evaluation.comparison, Console())
    print_choices(options, "evaluation", dtype="float32")
    print(f"report: {Path(folder) / 'report.html'}; the folder also has the numbers and all examples")
    return 0


COMMAND = Command(
    name="evaluate",
    help="evaluate a model on conversations or documents, and compare it with another",
    description=(
        "The folder determines the kind of model. For a generative model (config.json): its perplexity, and its "
        "replies "
        "beside the gold ones. For a selector (selector.json): the rank of the gold reply among candidates, R_n@k or "
        "hits@k/n; the file has the candidates, or they are sampled from a file of plain conversations. For a document "
        "model (document.json): its perplexity, and its continuations of prompts. An option that does not apply to the "
        "model is an error. See docs/evaluation.md."
    ),
    add_options=_add_options,
    run=_run,
)
