"""Command line of the trainer: `python -m convmodel.trainer`."""

import os
import sys

from convmodel.errors import report_errors, require_extra, suggest

USAGE = """\
usage: python -m convmodel.trainer FILE [FILE ...]                 train on files, with options chosen for them
       python -m convmodel.trainer [fit] --config config.yaml      train (fit is the default)
       python -m convmodel.trainer validate --config config.yaml   measure on data.valid_file
       python -m convmodel.trainer test --config config.yaml       measure on data.test_file
       python -m convmodel.trainer --print_config > config.yaml    write a config to edit

Trains a model on conversations or documents and exports the best one, by validation, to a folder.

common options (every key of the config is an option too):
  --data.train_file FILE       training conversations: JSON Lines, ParlAI text, CSV, gzipped, or hub://...
  --data.valid_file FILE       validation conversations; their loss selects the best model
  --data.test_file FILE        conversations for the test command
  --model.pretrained_model_name_or_path NAME
                               fine-tune gpt2 or a folder; without it a model is trained from scratch
  --model.learning_rate RATE   peak learning rate
  --trainer.max_epochs N       number of passes over the training file
  --export_dir DIR             folder for the best model (default: model)
  --ckpt_path last|FILE        resume from the newest or the given checkpoint; test or validate it

fit --help, validate --help, test --help list and explain every option; FILE --help those for files.

document models: --config examples/documents.yaml, or
       --model convmodel.training.DocumentModule --data convmodel.training.DocumentDataModule
selection models: --config examples/bi-encoder.yaml, poly-encoder.yaml, cross-encoder.yaml, convert.yaml, or
       --model convmodel.training.BiEncoderModule --data convmodel.training.SelectionDataModule"""

REQUIRED_MODULES = ("pytorch_lightning", "jsonargparse", "tqdm", "yaml")
"""Modules that training requires, from the extra [train]."""

SUBCOMMANDS = ("fit", "validate", "test")

FREE_KEYS = ("--data.mix.", "--data.columns.", "--samples.options.")
"""Options that are mappings with free keys."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of the trainer.

    Args:
        arguments: Command-line arguments without the program's name; by default those of `sys.argv`.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if argv in (["--help"], ["-h"]) or not argv:
        print(USAGE)
        raise SystemExit(0 if argv else 2)
    with require_extra("train", REQUIRED_MODULES, needing="training needs"):  # imported here to keep --help fast
        from convmodel.training.cli import run
    if not argv[0].startswith("-") and argv[0] not in SUBCOMMANDS:
        from convmodel.cli.train import train_files

        with report_errors():
            _check_subcommand(argv[0])
            argv = train_files(argv)
    elif argv[0] not in SUBCOMMANDS:
        argv.insert(0, "fit")
    run([_with_underscores(argument) for argument in argv])


def _check_subcommand(word: str) -> None:
    """Raise ValueError if a word is similar to a subcommand and there is no file of this name."""
    if not os.path.exists(word) and (hint := suggest(word, SUBCOMMANDS, "")):
        raise ValueError(f"{word}: there is no such file and no such subcommand; {hint}")


def _with_underscores(argument: str) -> str:
    """Return an option with underscores in its name, as the trainer declares it: `--data.max-length` may be written.

    Keys of mappings, such as the files of `data.mix`, keep their dashes.
    """
    name, equals, value = argument.partition("=")
    if not name.startswith("--") or name.startswith(FREE_KEYS):
        return argument
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


if __name__ == "__main__":
    main()
