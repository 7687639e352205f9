"""`demo`: train a small model on the example conversations, and open the page to talk to it."""

import contextlib
import importlib.util
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from convmodel.cli.command import Command
from convmodel.cli.commands import serve
from convmodel.cli.parser import CommandParser
from convmodel.errors import install_command

FOLDER = "convmodel-demo"

MINUTES = 5
"""The longest duration of the training; two minutes are usual on two cores."""


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    text = "folder of the model, its training and the conversations (default: %(default)s); deleting it removes all"
    add("--folder", default=FOLDER, metavar="DIR", help=text)
    add("--port", default="8000", metavar="PORT", help="port of the page (default: %(default)s); 0 selects a free one")
    add("--no-browser", action="store_true", help="print the address of the page and open no browser")


def example_conversations() -> Path:
    """Return the file of example conversations: in the installed package, or in the checkout.

    Raises:
        FileNotFoundError: if it is in neither.
    """
    package = Path(__file__).parents[2]
    for folder in (package / "examples", package.parent / "examples" / "data"):
        if (folder / "train.jsonl").is_file():
            return folder / "train.jsonl"
    raise FileNotFoundError(f"{package / 'examples'}: the example conversations are missing; install the package again")


def _run(options: Namespace) -> int:
    folder = Path(options.folder)
    model = folder / "model"
    if not (model / "config.json").is_file():
        print("There is no model yet: one is trained now on the example conversations.", flush=True)
        status = _train(folder, model)
        if status:
            return status
    parser = CommandParser(prog="python -m convmodel serve")
    serve.COMMAND.add_options(parser)
    arguments = ["--model", str(model), "--name", "demo", "--port", options.port]
    arguments += ["--store", f"sqlite:///{folder / 'conversations.db'}"]
    arguments += [] if options.no_browser else ["--open"]
    return serve.COMMAND.execute(parser.parse_args(arguments))


def _train(folder: Path, model: Path) -> int:
    """Train the model in a separate process, which releases its memory and threads, and return its exit status.

    After Ctrl-C, wait until the trainer has saved its checkpoint and ended.

    Raises:
        ValueError: if the libraries for training are not installed.
    """
    if importlib.util.find_spec("pytorch_lightning") is None:
        raise ValueError(f"the demo trains a model first; {install_command('train,serve')}")
    command = [sys.executable, "-m", "convmodel", "train", str(example_conversations())]
    command += ["--output", str(model), "--minutes", str(MINUTES), f"--trainer.default_root_dir={folder}"]
    with subprocess.Popen(command) as process:
        while process.returncode is None:
            with contextlib.suppress(KeyboardInterrupt):  # a terminal sends Ctrl-C to the trainer too, which saves
                process.wait()
    return process.returncode


COMMAND = Command(
    name="demo",
    help="train a small model if there is none, and open the page to talk to it",
    description="Trains a small model on the example conversations of the package, which takes about two minutes on "
    "two CPU cores, and opens the page to talk to it. The second time it opens the page at once. Ctrl-C ends it.",
    add_options=_add_options,
    run=_run,
    examples=["", "--folder ~/demo --port 8080"],
)
