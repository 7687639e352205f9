"""Command-line options of models: responders, decoding, and the moderation policy."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmodel.cli.command import add_repeatable, number_parser, positive_int
from convmodel.data.options import name_flag
from convmodel.responders.protocol import FALLBACK, MAX_RUNNING, MAX_WAITING
from convmodel.responders.typed_input import parse_setting
from convmodel.serving.safety.policy import SAY, SIDES, STORES, Policy
from convmodel.serving.safety.word_list import WordList

if TYPE_CHECKING:
    from convmodel.models.devices import Work
    from convmodel.responders.chooser import Chooser
    from convmodel.responders.hybrid import Hybrid
    from convmodel.responders.loading import LoadedModels
    from convmodel.responders.writer import Writer


CHOICE = ("selector", "index", "candidates", "reranker", "fusion", "min_score", "fallback")
PARTS = ("base", "device", "dtype", "reasoning", *CHOICE)


def add_responder_options(
    parser: ArgumentParser, *, preset: str = "balanced unless options are set; off for the model's own options"
) -> _ActionsContainer:
    """Add the options of a responder, and return the option group "models".

    `preset` describes the default of `--preset` in the help.
    """
    model = parser.add_argument_group("models")
    add = model.add_argument
    text = "the folder of a generative model, or a GGUF file (default: model, or none with --selector)"
    add("--model", metavar="DIR", help=text)
    add_base_option(model)
    add("--selector", metavar="DIR", help="the folder of a selector; without candidates it ranks generated replies")
    candidates = model.add_mutually_exclusive_group()
    candidates.add_argument("--index", metavar="DIR", help="an index of candidates, made by convmodel index")
    candidates.add_argument("--candidates", metavar="FILE", help="a file of candidates, one per line")
    text = "ranks all replies: selector (default if there is one), likelihood, or the folder of another selector"
    add("--reranker", metavar="NAME", help=text)
    add_fusion_option(model)
    text = (
        "choose only a reply that is correct with this probability, from 0 to 1, or auto: the threshold that convmodel "
        "fuse proposed (default: always choose)"
    )
    add("--min-score", metavar="P", type=_parse_min_score, help=text)
    text = f"the reply below --min-score; with a generative model, it replies instead (default: {FALLBACK})"
    add("--fallback", metavar="TEXT", help=text)
    add("--device", help="cuda, cpu, ... (default: an accelerator if there is one)")
    add("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "int8"), help="default: auto")
    text = "let a model with a chat template reason before it replies; the reasoning is kept out of the reply"
    add("--reasoning", action="store_true", help=text)
    decoding = parser.add_argument_group("decoding")
    add = decoding.add_argument
    add("--preset", metavar="NAME", help=f"a named set of options (default: {preset})")
    text = "an option of transformers' generate, such as temperature=0.7, or of selection"
    add_repeatable(decoding, "--set", "NAME=VALUE", text, dest="settings", type=_parse_setting)
    text = (
        "generate N replies and take the best, or N texts for each prompt (num_return_sequences; default: 1, or 4 "
        "with a selector)"
    )
    add("--num-replies", type=positive_int, metavar="N", help=text)
    text = "select N candidates and take the best (default: 10)"
    add("--num-candidates", type=positive_int, metavar="N", help=text)
    add_repeatable(decoding, "--persona", "TEXT", "a sentence about the replying side")
    return model


def _parse_min_score(text: str) -> float | str:
    """Return a probability, or auto."""
    return text if text == "auto" else _share(text)


def add_speaker_option(parser: ArgumentParser) -> None:
    """Add the option for the name of the speaker as whom the model replies in a conversation of several speakers."""
    text = "reply as this one of several speakers, whose names the conversations then keep"
    parser.add_argument("--speaker", metavar="NAME", help=text)


def add_base_option(group: _ActionsContainer) -> None:
    """Add the option for the base model of a LoRA adapter."""
    text = "if --model is the folder of a LoRA adapter: the model under it (default: the model that the adapter names)"
    group.add_argument("--base", metavar="DIR", help=text)


def add_adapter_option(group: _ActionsContainer) -> None:
    """Add the option for LoRA adapters that are served in addition to their base model."""
    text = "a LoRA adapter over --model, served beside it under this name; a folder alone gives it its own name"
    add_repeatable(group, "--adapter", "NAME=DIR", text, dest="adapters", type=_parse_adapter)


def _parse_adapter(text: str) -> tuple[str, str]:
    """Return the name and folder of an adapter from `NAME=DIR` or `DIR`; the default name is the folder's."""
    name, separator, folder = text.partition("=")
    if not separator or Path(text).is_dir():
        name, folder = Path(text).resolve().name, text
    if not text or not name.strip() or not folder:
        raise ArgumentTypeError(f"{text!r}; give NAME=DIR, or the folder of an adapter")
    return name, folder


def add_fusion_option(group: _ActionsContainer) -> None:
    """Add the option that disables the fusion of a selector's score with other features."""
    text = "use a selector's own score alone, without the features and weights of its fusion.json"
    group.add_argument("--no-fusion", dest="fusion", action="store_false", help=text)


def add_load_options(parser: ArgumentParser) -> None:
    """Add the options of `open_all`, for servers: a document model, and limits of the load."""
    add = parser.add_argument_group("load").add_argument
    text = "a document model, beside a model that replies; --model may also be a document model"
    add("--documents", metavar="DIR", help=text)
    for name, default, text in (
        ("--max-running", MAX_RUNNING, "texts generated at once"),
        ("--max-waiting", MAX_WAITING, "further requests that may wait"),
    ):
        add(name, type=positive_int, default=default, metavar="N", help=f"{text} (default: {default})")
    text = "conversations whose keys and values stay in memory (default: as many as are generated at once)"
    add("--max-kept", type=positive_int, metavar="N", help=text)


def open_responder(options: Namespace) -> "Writer | Chooser | Hybrid":
    """Load and return the responder that the options describe, a context manager."""
    from convmodel.responders import loading

    return loading.open_responder(writer_name(options), **_named(options, PARTS))


def open_all(options: Namespace) -> "LoadedModels":
    """Load the models that the options name, for a server that limits its requests; return a context manager."""
    from convmodel.responders import loading

    names = (*PARTS, "documents", "max_running", "max_kept")
    adapters = dict(getattr(options, "adapters", ()))
    return loading.load_all(writer_name(options), adapters=adapters, **_named(options, names))


def describe_choices(options: Namespace, work: "Work | None" = None, *, dtype: str | None = None) -> str | None:
    """Return a line with the device and dtype that were chosen automatically, if any, and how to override them.

    Args:
        work: the work of the model, on which the automatic choice depends; by default "replying", or "encoding" if
            there are only selectors.
        dtype: dtype for commands without the option `--dtype`.
    """
    from convmodel.models.devices import describe_choice

    if work is None:
        work = "replying" if writer_name(options) or getattr(options, "documents", None) else "encoding"
    return describe_choice(options.device, dtype or options.dtype, work)


def print_choices(options: Namespace, work: "Work | None" = None, *, dtype: str | None = None) -> None:
    """Print the line of `describe_choices` to stderr."""
    line = describe_choices(options, work, dtype=dtype)
    if line is not None:
        print(line, file=sys.stderr, flush=True)


def _named(options: Namespace, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names}


def writer_name(options: Namespace) -> str | None:
    """Return the folder of the generative model: `--model`, by default "model"; None if only others are given."""
    if options.model is not None:
        return str(options.model)
    others = (options.selector, getattr(options, "documents", None))
    return None if any(others) else "model"


def title(options: Namespace) -> str:
    """Return the names of the models and candidates in one text, such as "model + selector"."""
    documents = getattr(options, "documents", None)
    names = [writer_name(options), options.selector, options.index or options.candidates, documents]
    return " + ".join(str(name) for name in names if name is not None)


def own_options(options: Namespace) -> dict[str, Any]:
    """Return the decoding options that the user set; they override those of the model and of a preset."""
    counts = {"num_return_sequences": options.num_replies, "num_candidates": options.num_candidates}
    return dict(options.settings) | {name: count for name, count in counts.items() if count is not None}


def _parse_setting(text: str) -> tuple[str, Any]:
    try:
        return parse_setting(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


NEED_A_CHECK = ("flag_labels", "flag_threshold", "policy_sides", "policy_say", "policy_store")
"""Names of options that have an effect only with a word list or a classifier."""

_share = number_parser(float, lambda number: 0 <= number <= 1, "a number from 0 to 1, or auto")
_probability = number_parser(float, lambda number: 0 < number <= 1, "a number above 0 and at most 1")


def add_policy_options(parser: ArgumentParser) -> None:
    """Add the options of the moderation policy; without a word list or a classifier nothing is blocked."""
    add = parser.add_argument_group("moderation policy (default: nothing is blocked)").add_argument
    add("--blocked-words", metavar="FILE", help="blocked words and phrases, one per line")
    add("--classifier", metavar="DIR", help="the folder of a text classifier")
    text = "labels of the classifier that block a text (default: its only one)"
    add("--flag-labels", metavar="A,B", type=_split_names, help=text)
    text = "minimum probability of such a label (default: 0.5)"
    add("--flag-threshold", metavar="P", type=_probability, help=text)
    text = f"checked texts (default: {','.join(SIDES)})"
    add("--policy-sides", metavar="SIDES", type=_parse_sides, help=text)
    add("--policy-say", metavar="TEXT", help=f"replacement of a blocked reply (default: {SAY})")
    add("--policy-store", choices=STORES, help="stored form of a blocked text (default: placeholder)")
    add("--no-policy", action="store_true", help="disable the policy despite the other options")


def check_policy_options(options: Namespace) -> None:
    """Raise ValueError if an option of the policy is given without the option that it requires."""
    if options.no_policy:
        return
    given = [name for name in NEED_A_CHECK if getattr(options, name) is not None]
    if given and options.blocked_words is None and options.classifier is None:
        raise ValueError(f"{name_flag(given[0])} has no effect without a check; give --blocked-words or --classifier")
    for name in ("flag_labels", "flag_threshold"):
        if name in given and options.classifier is None:
            raise ValueError(f"{name_flag(name)} needs a classifier; give --classifier too")


def open_policy(options: Namespace, *, device: str | None = None) -> Policy | None:
    """Return the policy of the options, with the classifier loaded on `device`; None if nothing is blocked."""
    if options.no_policy or (options.blocked_words is None and options.classifier is None):
        return None
    given = {name: getattr(options, f"policy_{name}") for name in ("sides", "say", "store")}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.blocked_words is not None:
        settings["words"] = WordList.read(options.blocked_words)
    if options.classifier is not None:
        from convmodel.models.text_classifier import TextClassifier

        threshold = {} if options.flag_threshold is None else {"threshold": options.flag_threshold}
        settings["classifier"] = TextClassifier.from_pretrained(
            options.classifier, flags=options.flag_labels, device=device, **threshold
        )
    return Policy(**settings)


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _parse_sides(text: str) -> tuple[str, ...]:
    names = _split_names(text)
    if not names or not set(names) <= set(SIDES):
        raise ArgumentTypeError(f"{text!r}; allowed are {', '.join(SIDES)}, and both with a comma between")
    return names
