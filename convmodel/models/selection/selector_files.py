"""Reading and writing the files of a selector's folder, and the class of each kind of selector."""

import importlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from convmodel.data.json_file import read_json_object
from convmodel.models.card import ModelCard
from convmodel.models.weight_checks import check_weight_file

SELECTOR = "selector.json"
WEIGHTS = "model.safetensors"
FUSION = "fusion.json"
MADE = "give a folder made by save_pretrained"
STRANGE = f"is not what this version saves; {MADE}"
TOGETHER = "give the two files of one model"

LEXICAL = "lexical"
"""Kind of a selector without a network, which compares words only."""

HOMES = {
    "bi-encoder": ("convmodel.models.selection.bi_encoder", "BiEncoder"),
    "poly-encoder": ("convmodel.models.selection.poly_encoder", "PolyEncoder"),
    "cross-encoder": ("convmodel.models.selection.cross_encoder", "CrossEncoder"),
    "convert": ("convmodel.models.selection.convert.model", "Convert"),
}
"""Module and class of each kind of selector with weights, imported when a folder of that kind is loaded."""

FUSED = ("convmodel.models.selection.fused_selector", "FusedSelector")


def class_of(kind: str) -> Any:
    """Return the class of a kind of selector, a key of `HOMES`; for `LEXICAL`, return `FusedSelector`."""
    module, name = FUSED if kind == LEXICAL else HOMES[kind]
    return getattr(importlib.import_module(module), name)


def read_config(folder: Path) -> dict[str, Any]:
    """Read `selector.json`: return `{"kind", "options"}`, or raise a ValueError when the file has other contents."""
    config = read_json_object(folder / SELECTOR, remedy=MADE)
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in (*HOMES, LEXICAL):
        raise ValueError(f"{folder / SELECTOR}: {STRANGE} (kind {kind!r}; known are {', '.join((*HOMES, LEXICAL))})")
    if not isinstance(config.get("options"), dict):
        raise ValueError(f"{folder / SELECTOR}: {STRANGE} (it has no options)")
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a saved selector; raise FileNotFoundError without them, ValueError for a damaged file."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(f"{folder}: holds no {WEIGHTS}; {MADE}")
    check_weight_file(file)
    return load_file(file)


def write_config(folder: Path, kind: str, options: dict[str, Any]) -> None:
    """Write the kind and the options of a selector."""
    saved = {"kind": kind, "options": options}
    (folder / SELECTOR).write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


def write_card(folder: Path, kind: str, parameters: int, card: ModelCard) -> None:
    """Write the README.md of a selector: its use, its limits, and the facts of a model card."""
    header = ["library_name: convmodel", "pipeline_tag: text-ranking", "tags: [conversational, convmodel]"]
    origin = f"fine-tuned from `{card.base_model}`" if card.base_model else "learned from scratch"
    parts = [
        "\n".join(["---", *header, "---"]),
        "# A response selection model",
        f"A {kind} with {parameters:,} parameters, {origin} with convmodel. It reads the turns so far "
        "and scores candidates as the next one.",
        "## Use\n\n```python\nfrom convmodel import Selector\n\n"
        'selector = Selector.from_pretrained("path/to/this/folder")\n'
        'print(selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]))\n```',
        *card.sections(),
        "## Limits\n\nIt prefers candidates that resemble its training data, true or false, and scores one highest "
        "even if all candidates are bad.",
    ]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8", newline="\n")
