"""Selector architectures by name, and the files of a saved selector."""

import importlib
import json
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

SELECTOR = "selector.json"
WEIGHTS = "model.safetensors"
STRANGE = "is not what this version saves; give a folder made by save_pretrained"

HOMES = {
    "bi-encoder": ("convmodel.models.selection.bi_encoder", "BiEncoder"),
    "poly-encoder": ("convmodel.models.selection.poly_encoder", "PolyEncoder"),
    "cross-encoder": ("convmodel.models.selection.cross_encoder", "CrossEncoder"),
    "convert": ("convmodel.models.selection.convert.model", "Convert"),
}
"""Module and class of each kind of selector, imported when a folder of that kind is loaded."""


def class_of(kind: str) -> Any:
    """Return the class of a kind of selector, a key of `HOMES`."""
    module, name = HOMES[kind]
    return getattr(importlib.import_module(module), name)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the kind and the options of a saved selector.

    Raises:
        ValueError: when the file has other contents.
    """
    try:
        config = json.loads((folder / SELECTOR).read_text(encoding="utf-8"))
        if config["kind"] in HOMES and isinstance(config["options"], dict):
            return cast(dict[str, Any], config)
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder / SELECTOR}: {STRANGE}")


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a saved selector.

    Raises:
        FileNotFoundError: when the folder has no weights.
        ValueError: when the file is damaged.
    """
    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder}: holds no {WEIGHTS}; give a folder made by save_pretrained") from None
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: is damaged ({error}); copy or train the model again") from error
