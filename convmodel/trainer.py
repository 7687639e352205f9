"""Files of conversations or documents and a YAML in, a trained model in a folder out: `python -m convmodel.trainer`."""

import sys

from convmodel.errors import require_extra

USAGE = """\
usage: python -m convmodel.trainer [fit] --config config.yaml      train (fit is the default)
       python -m convmodel.trainer validate --config config.yaml   measure on data.valid_file
       python -m convmodel.trainer test --config config.yaml       measure on data.test_file
       python -m convmodel.trainer --print_config > config.yaml    write a config to edit

Trains a model of conversations or documents and leaves the best one, by validation loss, in a folder.

common options (every key of the config is an option too):
  --data.train_file FILE       conversations to learn from: JSON Lines, ParlAI text, CSV, gzipped, or hub://...
  --data.valid_file FILE       conversations by whose loss the best model is chosen
  --data.test_file FILE        conversations for test
  --model.pretrained_model_name_or_path NAME
                               fine-tune gpt2 or a folder; without it a model is learned from scratch
  --model.learning_rate RATE   the highest learning rate
  --trainer.max_epochs N       how often to read the training file
  --export_dir DIR             where the model goes (model)
  --ckpt_path last|FILE        go on from the newest or the given checkpoint; test or validate it

fit --help, validate --help, test --help list every option with its meaning.

models that write documents: --config examples/documents.yaml, or
       --model convmodel.training.DocumentModule --data convmodel.training.DocumentDataModule
models that choose replies: --config examples/bi-encoder.yaml, poly-encoder.yaml, cross-encoder.yaml, convert.yaml, or
       --model convmodel.training.BiEncoderModule --data convmodel.training.SelectionDataModule"""

NEEDED = ("pytorch_lightning", "jsonargparse", "tqdm", "yaml")
"""What the extra [train] brings and training cannot do without."""

SUBCOMMANDS = ("fit", "validate", "test")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: what stands after the program's name; `sys.argv` when left out.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--help"], ["-h"]) or not given:
        print(USAGE)
        raise SystemExit(0 if given else 2)
    with require_extra("train", NEEDED, needing="training needs"):  # here, so that --help is instant
        from convmodel.training.cli import run
    if given[0] not in SUBCOMMANDS:
        given.insert(0, "fit")
    run(given)


if __name__ == "__main__":
    main()
