"""`train FILE`: split the conversations, choose a model for them and this machine, and train it."""

import shlex
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from convmodel.cli.command import number_parser
from convmodel.cli.parser import CommandParser
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.reader import format_count
from convmodel.data.split import VALID_SHARE, write_split

MIN_CONVERSATIONS = 20
"""Number of conversations below which none is set aside for validation."""

PRETRAINED = "--model.pretrained_model_name_or_path"

PROGRAM = "python -m convmodel train"

DESCRIPTION = """\
Trains a model on files of any format with options that are chosen for the data and this machine. One conversation in
ten is set aside for validation. Files and options of the run are written to OUTPUT.data/, so that the same run can be
changed and repeated with --config. Options of the trainer, such as --trainer.max_epochs 5, override what is chosen."""

positive = number_parser(float, lambda number: number > 0, "a number of minutes above 0")


@dataclass
class DataSize:
    """Size of conversations that were read.

    Args:
        count: number of conversations.
        characters: number of characters of their turns and persona sentences.
    """

    count: int = 0
    characters: int = 0

    def measure(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Yield conversations and add their sizes."""
        for conversation in conversations:
            self.count += 1
            self.characters += sum(map(len, (*conversation.turns, *conversation.persona)))
            yield conversation


def train_files(arguments: Sequence[str]) -> list[str]:
    """Write the data and the config of a run, and return the trainer's arguments.

    Args:
        arguments: files, options of this command, and after them options of the trainer, which contain a dot.

    Raises:
        ValueError: if the files have no conversation of two turns, or one of them is a config file.
    """
    own, of_trainer = _divide(arguments)
    options = make_parser().parse_args(own)
    for name in options.files:
        if name.endswith((".yaml", ".yml")):
            raise ValueError(f"{name}: is a config file; give it with --config {name}")
    folder = Path(f"{options.output}.data")
    reader = ConversationReader(options.files, get_reader_options(options), named=True)
    first = sum(1 for _ in islice(reader, MIN_CONVERSATIONS))
    if not first:
        print(reader.report.summary(), flush=True)
        raise ValueError(f"{reader.source}: has no conversation of two turns; there is nothing to learn")
    share = VALID_SHARE if first == MIN_CONVERSATIONS else 0.0
    folder.mkdir(parents=True, exist_ok=True)
    size = DataSize()
    validation = write_split(size.measure(reader), folder / "train.jsonl", folder / "valid.jsonl", share=share)
    print(reader.report.summary(), flush=True)
    config = _choose(options, size.characters, of_trainer, validation=validation)
    _write_config(folder, config, options.output, validation=validation)
    print(_describe_split(folder, size.count, validation))
    print(f"the same again, after changes: {PROGRAM} --config {shlex.quote(str(folder / 'config.yaml'))}", flush=True)
    return ["fit", f"--config={folder / 'config.yaml'}", *of_trainer]


def make_parser() -> CommandParser:
    """Return the parser of the files and options that are not the trainer's."""
    examples = ["chats.jsonl", "'WhatsApp Chat.txt' --me Ida --output ida", f"chats.jsonl {PRETRAINED} gpt2"]
    parser = CommandParser(prog=PROGRAM, description=DESCRIPTION, examples=examples)
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders, globs in quotes, or hub://org/name")
    parser.add_argument("--output", default="model", metavar="DIR", help="folder of the model (default: %(default)s)")
    text = "the longest duration of the training, by which the model's size is chosen too (default: %(default)g)"
    parser.add_argument("--minutes", type=positive, default=20.0, metavar="M", help=text)
    add_reader_options(parser)
    return parser


def _divide(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before the first option of the trainer, and the rest."""
    names = [argument.partition("=")[0] for argument in arguments]
    first = next((n for n, name in enumerate(names) if name.startswith("--") and "." in name), len(arguments))
    return list(arguments[:first]), list(arguments[first:])


def _choose(options: Namespace, characters: int, of_trainer: Sequence[str], *, validation: int) -> dict[str, Any]:
    """Return the options of the trainer for a new model, or for a pretrained one if the user names it."""
    from convmodel.training.run_plan import fine_tuning_options, plan_run

    if any(argument.partition("=")[0] == PRETRAINED for argument in of_trainer):
        return dict(fine_tuning_options(validation=bool(validation)))
    plan = plan_run(characters, minutes=options.minutes)
    print(plan)
    return plan.options(validation=bool(validation))


def _write_config(folder: Path, config: dict[str, Any], output: str, *, validation: int) -> None:
    import yaml

    from convmodel.data.atomic import atomic_file

    files = {"train_file": str(folder / "train.jsonl")}
    if validation:
        files["valid_file"] = str(folder / "valid.jsonl")
    config["data"] = files | config["data"]
    with atomic_file(folder / "config.yaml") as fresh:
        fresh.write_text(yaml.safe_dump(config | {"export_dir": output}, sort_keys=False), encoding="utf-8")


def _describe_split(folder: Path, count: int, validation: int) -> str:
    if not validation:
        return f"validation: none, because {format_count(count, 'conversation')} are too few to set some aside"
    return f"validation: {format_count(validation, 'conversation')}, in {folder / 'valid.jsonl'}; not used for learning"
