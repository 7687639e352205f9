"""Command-line options of the moderation policy."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from convmodel.cli.command import number_parser
from convmodel.serving.safety.policy import SAY, SIDES, STORES, Policy
from convmodel.serving.safety.word_list import WordList

NEED_A_CHECK = ("flag_labels", "flag_threshold", "policy_sides", "policy_say", "policy_store")
"""Options that require a word list or a classifier."""

_probability = number_parser(float, lambda number: 0 < number <= 1, "a number above 0 and at most 1")


def add_policy_options(parser: ArgumentParser) -> None:
    """Add the policy options; without a word list and a classifier nothing is blocked."""
    group = parser.add_argument_group("moderation policy (default: nothing is blocked)")
    group.add_argument("--blocked_words", metavar="FILE", help="blocked words and phrases, one per line")
    group.add_argument("--classifier", metavar="DIR", help="the folder of a text classifier")
    group.add_argument(
        "--flag_labels",
        metavar="A,B",
        type=_split_names,
        help="labels of the classifier that block a text (default: its only one)",
    )
    group.add_argument(
        "--flag_threshold", metavar="P", type=_probability, help="minimum probability of such a label (default: 0.5)"
    )
    group.add_argument(
        "--policy_sides", metavar="SIDES", type=_parse_sides, help=f"checked texts (default: {','.join(SIDES)})"
    )
    group.add_argument("--policy_say", metavar="TEXT", help=f"replacement of a blocked reply (default: {SAY})")
    group.add_argument("--policy_store", choices=STORES, help="stored form of a blocked text (default: placeholder)")
    group.add_argument("--no_policy", action="store_true", help="disable the policy despite the other options")


def check_policy_options(options: Namespace) -> None:
    """Raise ValueError for options that require a missing option."""
    if options.no_policy:
        return
    given = [name for name in NEED_A_CHECK if getattr(options, name) is not None]
    if given and options.blocked_words is None and options.classifier is None:
        raise ValueError(f"--{given[0]} has no effect without a check; give --blocked_words or --classifier too")
    for name in ("flag_labels", "flag_threshold"):
        if name in given and options.classifier is None:
            raise ValueError(f"--{name} needs a classifier; give --classifier too")


def open_policy(options: Namespace, *, device: str | None = None) -> Policy | None:
    """Read the word list and load the classifier on the device; return None if nothing is blocked."""
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
