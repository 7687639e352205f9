"""Command-line options of the moderation policy."""

import argparse
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmodel.serving.safety.policy import SAY, SIDES, STORES, BlockedStorage, Policy, Side
from convmodel.serving.safety.word_list import WordList

if TYPE_CHECKING:
    from convmodel.models.text_classifier import TextClassifier

NEED_A_CHECK = ("flag_labels", "flag_threshold", "policy_sides", "policy_say", "policy_store")
"""Options that require a word list or a classifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """Settings of the moderation policy.

    Args:
        blocked_words: file of blocked words and phrases.
        classifier: folder of a text classifier.
        flag_labels: labels of the classifier that block a text; may be omitted if it has only one.
        flag_threshold: minimum probability of such a label; the classifier's own threshold if None.
        sides: checked texts: "input", "output", or both.
        say: replacement of a blocked reply.
        store: stored form of a blocked text: "nothing", "placeholder" or "text".
        off: whether to disable the policy despite the other settings.
    """

    blocked_words: str | None = None
    classifier: str | None = None
    flag_labels: tuple[str, ...] | None = None
    flag_threshold: float | None = None
    sides: tuple[Side, ...] = SIDES
    say: str = SAY
    store: BlockedStorage = "placeholder"
    off: bool = False


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
        "--flag_threshold",
        metavar="P",
        type=_probability,
        help="minimum probability of such a label (default: 0.5)",
    )
    group.add_argument(
        "--policy_sides", metavar="SIDES", type=_parse_sides, help=f"checked texts (default: {','.join(SIDES)})"
    )
    group.add_argument("--policy_say", metavar="TEXT", help=f"replacement of a blocked reply (default: {SAY})")
    group.add_argument("--policy_store", choices=STORES, help="stored form of a blocked text (default: placeholder)")
    group.add_argument("--no_policy", action="store_true", help="disable the policy despite the other options")


def policy_options(options: Namespace) -> PolicyOptions:
    """Return the policy settings of a command line.

    Raises:
        ValueError: for options that require a missing option.
    """
    checks = options.blocked_words is not None or options.classifier is not None
    given = [name for name in NEED_A_CHECK if getattr(options, name) is not None]
    if given and not (checks or options.no_policy):
        raise ValueError(f"--{given[0]} has no effect without a check; give --blocked_words or --classifier too")
    if options.classifier is None and not options.no_policy:
        for name in ("flag_labels", "flag_threshold"):
            if name in given:
                raise ValueError(f"--{name} needs a classifier; give --classifier too")
    values = {name: getattr(options, name) for name in (*NEED_A_CHECK, "blocked_words", "classifier")}
    named = {name.removeprefix("policy_"): value for name, value in values.items() if value is not None}
    return PolicyOptions(**named, off=options.no_policy)


def open_policy(options: PolicyOptions, *, device: str | None = None) -> Policy | None:
    """Read the word list and load the classifier; return None if nothing is blocked.

    Args:
        options: policy settings.
        device: device of the classifier.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: for a file or folder that cannot be used.
    """
    if options.off or (options.blocked_words is None and options.classifier is None):
        return None
    return Policy(
        words=None if options.blocked_words is None else WordList.read(options.blocked_words),
        classifier=None if options.classifier is None else _load_classifier(options, options.classifier, device),
        sides=options.sides,
        say=options.say,
        store=options.store,
    )


def _load_classifier(options: PolicyOptions, name: str, device: str | None) -> "TextClassifier":
    from convmodel.models.text_classifier import TextClassifier

    threshold: dict[str, Any] = {} if options.flag_threshold is None else {"threshold": options.flag_threshold}
    return TextClassifier.from_pretrained(name, flags=options.flag_labels, device=device, **threshold)


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _parse_sides(text: str) -> tuple[str, ...]:
    names = _split_names(text)
    if not names or not set(names) <= set(SIDES):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed are {', '.join(SIDES)}, and both with a comma between")
    return names


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value
