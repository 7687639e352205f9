"""`convert-weights`: convert pickled weights to safetensors."""

from argparse import ArgumentParser, Namespace

from convmodel.cli.command import Command


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a model's folder with pytorch_model.bin, or several of them")
    parser.add_argument("output", metavar="OUT", help="the new folder")


def _run(options: Namespace) -> int:
    from convmodel.models.pickle_conversion import convert_weights

    result = convert_weights(options.folder, options.output)
    place = "without network" if result.isolated else "with sockets disabled (the system has no isolation of networks)"
    print(f"{options.output}: {result.tensors} tensors converted, read in a process {place}")
    print(f"next: python -m convmodel chat --model {options.output}")
    print(f"or fine-tune it: --model.pretrained_model_name_or_path {options.output}")
    return 0


COMMAND = Command(
    name="convert-weights",
    help="convert a model's pickled weights to safetensors",
    description="Pickles (pytorch_model.bin) can hold code, so nothing here reads them but this command: tensors "
    "alone, in a process without network or credentials. A pickle with code in it is not converted.",
    add_options=_add_options,
    run=_run,
    examples=["downloaded model"],
)
