"""`evaluate`: evaluate a model on a data set and write a report."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from convmodel.cli.command import Command
from convmodel.cli.options import add_base_option, add_fusion_option, print_choices
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.data.options import name_flag
from convmodel.responders.typed_input import parse_value

TURNS = ("all", "last", "last_speaker", "first_speaker", "second_speaker")


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the folder of a model, a GGUF file, or a Hub name")
    add_base_option(parser)
    text = "files in any format, folders, or hub://org/name?split=test; see above"
    add("--data", required=True, nargs="+", metavar="FILE", help=text)
    add("--as", dest="kind", choices=("documents",), help="the output of a plain GPT-2: documents (default: replies)")
    text = "the report of another model on the same data, for a significance test of the differences"
    add("--compare", metavar="REPORT", help=text)
    add("--output", metavar="DIR", help="the folder of the report (default: evaluation/MODEL-DATA-...)")
    text = "maximum number of examples, spread evenly; 0: all (default: 0 for selectors, 500 for others)"
    _add_number(add, "limit", None, text)
    text = "seed of generation, of sampled candidates and of the bootstrap (default: 0)"
    add("--seed", type=int, default=0, help=text)
    _add_number(add, "resamples", 2000, "resamples of the bootstrap (default: 2000)")
    add("--device", metavar="NAME", help="cpu, cuda, ... (default: an accelerator if there is one)")
    add_reader_options(parser.add_argument_group("reading the data"))
    turns = parser.add_argument_group("models that generate or select replies")
    turns.add_argument("--turns", choices=TURNS, default="last", help="turns to reply to (default: last)")
    _add_writing(parser.add_argument_group("generative models").add_argument)
    add = parser.add_argument_group("document models").add_argument
    _add_number(add, "prompt_words", 50, "words of the prompt (default: 50)")
    _add_number(add, "overlap", 64, "tokens shared by adjacent windows of a long document (default: 64)")
    add("--no-meta", dest="meta", action="store_false", help="ignore the metadata of the documents")
    selectors = parser.add_argument_group("selectors")
    add_fusion_option(selectors)
    _add_number(
        selectors.add_argument,
        "pool",
        None,
        "candidates per reply where the file has none: the gold one and sampled ones (default: 20)",
    )


def _add_number(add: Callable[..., object], name: str, default: int | None, text: str) -> None:
    add(name_flag(name), type=int, default=default, metavar="N", help=text)


def _add_writing(add: Callable[..., object]) -> None:
    text = "for replies: turns that count for the perplexity (default: all)"
    add("--perplexity-on", choices=TURNS, default="all", help=text)
    text = (
        "a decoding option of transformers' generate: top_p=0.9 (default: for replies those of the model's folder; "
        "for documents greedy decoding of 100 tokens)"
    )
    for name, help in (("--set", text), ("--option", SUPPRESS)):  # --option is the name of earlier versions
        add(name, dest="settings", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=help)
    add("--preset", metavar="NAME", help="a named set of options: balanced, careful, lively; --set overrides it")
    text = "for replies: sacrebleu's tokenizer: 13a, char, zh, ja-mecab, ... (default: 13a)"
    add("--bleu-tokenize", default="13a", metavar="NAME", help=text)
    _add_number(add, "tokens_per_batch", 4096, "tokens per batch for the perplexity (default: 4096)")


def _run(options: Namespace) -> int:
    try:  # heavy imports are here, so that --help is fast
        from convmodel.data.atomic import check_folder_writable
        from convmodel.reports.evaluation import EvaluationOptions, evaluate
        from convmodel.reports.evaluation.evaluate import DEFAULT_OUTPUT, check_output, default_output, task_of
        from convmodel.reports.evaluation.presentation import show
        from convmodel.reports.evaluation.report import load_report
    except ModuleNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    kind = task_of(options.model, options.kind)
    names = {field.name for field in fields(EvaluationOptions)}
    settings = EvaluationOptions(
        decoding=parse_decoding(options.settings, preset=options.preset, presets=kind.presets),
        **{name: value for name, value in vars(options).items() if name in names},
    )
    # Check the output and the other report first, so that an error does not cost the evaluation.
    if options.output is None:
        check_folder_writable(DEFAULT_OUTPUT)
    else:
        check_output(options.output)
    if options.compare is not None:
        load_report(options.compare)
    read_options = get_reader_options(options)
    evaluation = evaluate(
        *(options.model, options.data),
        kind=kind.name,
        options=settings,
        device=options.device,
        read_options=read_options,
        base=options.base,
        fusion=options.fusion,
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


def parse_decoding(
    settings: Sequence[str], *, preset: str | None = None, presets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Parse decoding options such as `top_p=0.9` and `stop_strings=["."]`, which override those of a preset.

    Raises:
        ValueError: for a word that is not NAME=VALUE, and for unknown names and invalid values.
    """
    from convmodel.generation.option_checks import check_names, check_values

    if preset is not None and preset not in presets:
        raise ValueError(f"there is no preset {preset!r}; allowed are {', '.join(presets)}")
    options = dict(presets[preset]) if preset is not None else {}
    for word in settings:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--set {word}: write NAME=VALUE, such as top_p=0.9")
        options[name] = parse_value(value)
    check_names(options)
    check_values(options)
    return options


COMMAND = Command(
    name="evaluate",
    help="evaluate a model on conversations or documents, and compare it with another",
    description=(
        "The folder determines the kind of model. For a generative model (config.json): its perplexity, and its "
        "replies beside the gold ones. For a selector (selector.json): the rank of the gold reply among candidates, "
        "R_n@k or hits@k/n; the file has the candidates, or they are sampled from a file of plain conversations. For a "
        "document model (document.json): its perplexity, and its continuations of prompts. An option that does not "
        "apply to the model is an error. See docs/evaluation.md."
    ),
    add_options=_add_options,
    run=_run,
    examples=[
        "--model model --data test.jsonl",
        "--model model --data test.jsonl --set temperature=0.7 --compare evaluation/other/report.json",
    ],
)
