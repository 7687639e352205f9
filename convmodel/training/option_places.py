"""Find the section of a config to which an option belongs that is given in Python by its name alone."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from convmodel.errors import suggest
from convmodel.training.option_errors import option_names

NOT_IN_PYTHON = {
    "pretrained_model_name_or_path": "the model that is trained is this one",
    "train_file": "give the data as train",
    "valid_file": "give the data as valid",
    "test_file": "a test is no part of the training; evaluate the model afterwards",
    "export_dir": "give the folder as save_to",
    "ckpt_path": "a run in Python is not resumed; the command `python -m convmodel train` can resume one",
    "checkpoint": "a run in Python saves no checkpoints; the command `python -m convmodel train` does",
    "merge_lora": "adapters are merged into the model; the command `python -m convmodel train` can leave them apart",
    "from_scratch": "the model has its size; ConversationModel.from_scratch(train, size={...}) makes a new one",
    "new_encoder": "the model has its size; from_scratch(train, size={...}) makes a new one",
    "sizes": "the model has its size; from_scratch(train, size={...}) makes a new one",
}
"""Options of a config that a run in Python does not have, and their replacement."""

SINGLE = ("seed_everything",)
"""Options outside of all sections."""


def place_options(
    options: Mapping[str, Any], classes: Mapping[str, type], *, others: Sequence[str] = ()
) -> dict[str, Any]:
    """Return options by section, as in a config: `{"model": {...}, "trainer": {...}}`.

    An option is given by its name, `learning_rate=0.001`, or in a section, `model={"learning_rate": 0.001}`.

    Args:
        options: options by name.
        classes: for each section, the class whose parameters are its options. They have no name in common.
        others: sections that are given as a mapping only.

    Raises:
        TypeError: for an unknown name, a name that a run in Python does not have, or a name that is given twice.
    """
    known = {section: _parameters(cls) for section, cls in classes.items()}
    placed: dict[str, Any] = {section: _section(section, options.get(section), known[section]) for section in classes}
    for name, value in options.items():
        if name in NOT_IN_PYTHON:
            raise TypeError(f"{name}: is not an option in Python: {NOT_IN_PYTHON[name]}")
        if name in (*others, *SINGLE):
            placed[name] = value
        elif name not in classes:
            section = next((section for section, names in known.items() if name in names), None)
            if section is None:
                every = [*(each for names in known.values() for each in names), *classes, *others, *SINGLE, "save_to"]
                raise TypeError(f"{name}: there is no such option; {suggest(name, every, _remedy(classes))}")
            if name in placed[section]:
                raise TypeError(f"{name} is given twice, also in {section}={{...}}; leave one out")
            placed[section][name] = value
    return placed


def _section(section: str, values: Any, known: Sequence[str]) -> dict[str, Any]:
    """Return a copy of the options of a section; raise TypeError for an unknown name."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise TypeError(f"{section}={values!r}: give a mapping of options, such as {section}={{{known[0]!r}: ...}}")
    for name in values:
        if name in NOT_IN_PYTHON:
            raise TypeError(f"{section}.{name}: is not an option in Python: {NOT_IN_PYTHON[name]}")
        if name not in known:
            hint = suggest(str(name), known, f"the options of {section} are {', '.join(sorted(known))}")
            raise TypeError(f"{section}.{name}: there is no such option; {hint}")
    return dict(values)


def _remedy(classes: Mapping[str, type]) -> str:
    names = ", ".join(cls.__name__ for cls in classes.values())
    return f"the options are the parameters of {names}"


def _parameters(cls: type) -> list[str]:
    """Return the names of the parameters of a class and of the classes to which it passes `**options`."""
    parser = ArgumentParser()
    parser.add_class_arguments(cls, "options")
    return list(dict.fromkeys(name.split(".")[1] for name in option_names(parser) if "." in name))


def holds_objects(value: Any) -> bool:
    """Return whether a value is not one of a config: a number, a text, a list or a mapping."""
    if isinstance(value, list | tuple | dict):
        return any(map(holds_objects, value.values() if isinstance(value, dict) else value))
    return not (value is None or isinstance(value, str | int | float | os.PathLike))
