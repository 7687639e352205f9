"""The folder of a saved selector in, what is in it out."""

import importlib
import json
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

SELECTOR, WEIGHTS = "selector.json", "model.safetensors"
STRANGE = "is not what this version saves; give a folder made by save_pretrained"

HOMES = {
    "bi-encoder": ("convmodel.models.selection.bi_encoder", "BiEncoder"),
    "poly-encoder": ("convmodel.models.selection.poly_encoder", "PolyEncoder"),
    "cross-encoder": ("convmodel.models.selection.cross_encoder", "CrossEncoder"),
    "convert": ("convmodel.models.selection.convert.model", "Convert"),
}
"""Where the class of each kind of selector lives; imported when a folder asks for it."""


def class_of(kind: str) -> Any:
    """The class of a kind of selector, one of `HOMES`."""
    module, name = HOMES[kind]
    return getattr(importlib.import_module(module), name)


def read_config(folder: Path) -> dict[str, Any]:
    """The kind and the options of a saved selector.

    Raises:
        ValueError: when there is something else.
    """
    try:
        found = json.loads((folder / SELECTOR).read_text(encoding="utf-8"))
        if found["kind"] in HOMES and isinstance(found["options"], dict):
            return cast(dict[str, Any], found)
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder / SELECTOR}: {STRANGE}")


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a saved selector.

    Raises:
        FileNotFoundError, ValueError: when there are none, or they are damaged.
    """
    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder}: holds no {WEIGHTS}; give a folder made by save_pretrained") from None
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: is damaged ({error}); copy or train the model anew") from error
