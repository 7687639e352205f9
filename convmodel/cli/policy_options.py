"""Options of a command line in, what may be said out."""

import argparse
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmodel.serving.safety.policy import SAY, SIDES, STORES, BlockedStorage, Policy, Side
from convmodel.serving.safety.word_list import WordList

if TYPE_CHECKING:
    from convmodel.models.text_classifier import TextClassifier

NEED_A_CHECK = ("flag_labels", "flag_threshold", "policy_sides", "policy_say", "policy_store")
"""Options that mean nothing where nothing is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """What may be said.

    Args:
        blocked_words: a file of words and phrases that may not be.
        classifier: the folder of a model that says what else may not be.
        flag_labels: the labels for which it does; may be left out where the model has one alone.
        flag_threshold: the probability from which on it does; the classifier's own when None.
        sides: what is checked: "input", "output", or both.
        say: what is said in place of it.
        store: what is kept of a blocked text: "nothing", "placeholder" or "text".
        off: lets everything be said, whatever else stands here.
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
    """What may be said; without a list of words and a classifier, everything."""
    group = parser.add_argument_group("what may be said (default: everything)")
    group.add_argument("--blocked_words", metavar="FILE", help="words and phrases that may not be, one a line")
    group.add_argument("--classifier", metavar="DIR", help="a model that classifies texts, by folder")
    group.add_argument(
        "--flag_labels",
        metavar="A,B",
        type=_names,
        help="labels of the classifier that may not be (default: its only one)",
    )
    group.add_argument(
        "--flag_threshold",
        metavar="P",
        type=_share,
        help="from which probability on they count (default: 0.5)",
    )
    group.add_argument(
        "--policy_sides", metavar="SIDES", type=_sides, help=f"what is checked (default: {','.join(SIDES)})"
    )
    group.add_argument("--policy_say", metavar="TEXT", help=f"what is said in place of it (default: {SAY})")
    group.add_argument("--policy_store", choices=STORES, help="what is kept of a blocked text (default: placeholder)")
    group.add_argument("--no_policy", action="store_true", help="check nothing, whatever else stands here")


def policy_options(options: Namespace) -> PolicyOptions:
    """What a command line says.

    Raises:
        ValueError: for options that mean nothing without what they belong to.
    """
    checks = options.blocked_words is not None or options.classifier is not None
    given = [name for name in NEED_A_CHECK if getattr(options, name) is not None]
    if given and not (checks or options.no_policy):
        raise ValueError(f"--{given[0]} means nothing without a check; give --blocked_words or --classifier too")
    if options.classifier is None and not options.no_policy:
        for name in ("flag_labels", "flag_threshold"):
            if name in given:
                raise ValueError(f"--{name} is for a classifier, and there is none; give --classifier too")
    said = {name: getattr(options, name) for name in (*NEED_A_CHECK, "blocked_words", "classifier")}
    named = {name.removeprefix("policy_"): value for name, value in said.items() if value is not None}
    return PolicyOptions(**named, off=options.no_policy)


def open_policy(options: PolicyOptions, *, device: str | None = None) -> Policy | None:
    """Reads the list of words and loads the classifier; None where everything may be said.

    Args:
        device: of the classifier.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: for a file or folder that cannot be used.
    """
    if options.off or (options.blocked_words is None and options.classifier is None):
        return None
    return Policy(
        words=None if options.blocked_words is None else WordList.read(options.blocked_words),
        classifier=None if options.classifier is None else _classifier(options, options.classifier, device),
        sides=options.sides,
        say=options.say,
        store=options.store,
    )


def _classifier(options: PolicyOptions, name: str, device: str | None) -> "TextClassifier":
    from convmodel.models.text_classifier import TextClassifier

    threshold: dict[str, Any] = {} if options.flag_threshold is None else {"threshold": options.flag_threshold}
    return TextClassifier.from_pretrained(name, flags=options.flag_labels, device=device, **threshold)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _sides(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not names or not set(names) <= set(SIDES):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed are {', '.join(SIDES)}, and both with a comma between")
    return names


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and at most 1")
    return found
