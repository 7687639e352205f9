"""The contract of all models that score candidates as the next turn, and how they are saved and loaded."""

import importlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from convmodel.data.json_file import read_json_object
from convmodel.models.card import ModelCard
from convmodel.models.devices import best_device, dtype_name, resolve_dtype
from convmodel.models.folder import DAMAGE, checked_source, local_folder, replaced_folder, summary, weights_digest
from convmodel.models.selection.inputs import Candidates, Contexts, Personas
from convmodel.models.weight_checks import check_finite, check_shapes, check_types, check_weight_file, missing_weights
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import store_key
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.tokens.tokenizer_files import load_tokenizer

SELECTOR = "selector.json"
WEIGHTS = "model.safetensors"
MADE = "give a folder made by save_pretrained"
STRANGE = f"is not what this version saves; {MADE}"
TOGETHER = "give the two files of one model"

HOMES = {
    "bi-encoder": ("convmodel.models.selection.bi_encoder", "BiEncoder"),
    "poly-encoder": ("convmodel.models.selection.poly_encoder", "PolyEncoder"),
    "cross-encoder": ("convmodel.models.selection.cross_encoder", "CrossEncoder"),
    "convert": ("convmodel.models.selection.convert.model", "Convert"),
}
"""Module and class of each kind of selector, imported when a folder of that kind is loaded."""


class Selector(ABC):
    """A model that scores candidates as the reply to a context.

    Methods that take texts leave the network in evaluation mode.
    """

    kind: ClassVar[str]
    """The name of the architecture in saved folders, a key of `HOMES`."""

    tokenizer_class: ClassVar[type[TextTokenizer]] = ConversationTokenizer

    def __init__(self, network: nn.Module, tokenizer: TextTokenizer) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self._saved_fingerprint: str | None = None
        self._int8 = False

    # Defined by each architecture

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the arguments of `build` other than the tokenizer, as JSON values."""

    @classmethod
    @abstractmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """Create a selector with new weights from the result of `options`."""

    @abstractmethod
    def score(self, contexts: Contexts, candidates: Candidates, *, personas: Personas = None) -> Tensor:
        """Return the (B, C) float32 scores, on the CPU, of C candidates for each of B contexts; higher is better.

        Args:
            contexts: B contexts, each the turns so far, oldest first.
            candidates: C texts for all contexts, or B pools of C texts each.
            personas: for each context, sentences about the speaker who replies.

        Raises:
            TypeError, ValueError: for a text that is missing, empty or not a string, or pools of different sizes.
        """

    def encode_candidates(self, candidates: Sequence[str]) -> Tensor:
        """Return (C, D) vectors for all contexts; raise a TypeError where the model reads both together."""
        raise TypeError(
            f"a {self.kind} reads context and candidate together, so candidates cannot be encoded in advance; "
            "encode with a bi-encoder, a poly-encoder or ConveRT, and let this one rank the best of those"
        )

    def to_int8(self) -> None:
        """Convert the network to int8 products on a CPU; afterwards it can be neither trained nor saved.

        Raises:
            ValueError: for an architecture without an int8 form, or a device other than a CPU.
        """
        raise ValueError(f'dtype="int8": a {self.kind} has no such form; use "auto", "float32" or "bfloat16"')

    # Device, number type, saving and loading

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def dtype(self) -> str:
        """The type that the weights were loaded in: "float32", another torch type, or "int8"."""
        return "int8" if self._int8 else dtype_name(self._number_type())

    def _number_type(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def fingerprint(self) -> str:
        """Return a digest of the weights, the configuration and the tokenizer as they are saved.

        The digest does not depend on the folder's path, nor on the type that the weights were loaded in (see `dtype`).
        """
        if self._saved_fingerprint is not None:
            return self._saved_fingerprint
        rest = (self.kind, json.dumps(self.options(), sort_keys=True), store_key("", self.tokenizer))
        return weights_digest(rest, self.weights())

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """Load a selector of any kind, or of this class, by folder or Hub name. Only safetensors are read.

        Args:
            device: "cuda", "cpu", ...; by default an accelerator if there is one.
            dtype: "auto" is float32, because vectors are stored and scores are compared; or a torch type, or its name;
                or "int8", for a cross-encoder or ConveRT on a CPU.

        Raises:
            FileNotFoundError: when there is no such folder or name.
            ValueError: for a folder without a selector, one of another kind, one without an int8 form, or an unknown
                dtype.
        """
        folder = local_folder(checked_source(name_or_path, needs=SELECTOR))
        saved = read_config(folder)
        selector_class: type[Selector] = class_of(saved["kind"])
        if not issubclass(selector_class, cls):
            raise ValueError(
                f"{folder}: holds a {selector_class.kind}; load it with {selector_class.__name__}, or with Selector"
            )
        target = torch.device(device) if device is not None else best_device()
        number_type = None if dtype == "int8" else resolve_dtype(dtype, target, "encoding")
        hf_tokenizer = load_tokenizer(folder)
        try:
            selector = selector_class.build(selector_class.tokenizer_class(hf_tokenizer), saved["options"])
        except DAMAGE as error:
            raise ValueError(f"{folder / SELECTOR}: {STRANGE} ({summary(error)})") from error
        selector.load_weights(read_weights(folder), folder)
        if number_type != torch.float32:  # the digest is of the saved weights, which rounding loses
            selector._saved_fingerprint = selector.fingerprint()
        if number_type is None:
            selector.network.to(target).eval()
            selector.to_int8()
        else:
            selector.place(target, number_type)
        return selector

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the weights, for inference."""
        self.network.to(device, dtype).eval()

    def load_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Load saved float32 weights; raise a ValueError for other names or shapes than the network's, and for NaN."""
        self._saved_fingerprint = None
        file = folder / WEIGHTS
        own = self.network.state_dict()
        if missing := sorted(own.keys() - weights.keys()):
            raise ValueError(missing_weights(str(file), missing, f"the {len(own)} of this {self.kind}"))
        if extra := sorted(weights.keys() - own.keys()):
            raise ValueError(f"{file}: holds {extra[0]}, which the {self.kind} of {SELECTOR} does not have; {TOGETHER}")
        shapes = ((name, weights[name].shape, own[name].shape) for name in own)
        check_shapes(str(file), (row for row in shapes if row[1] != row[2]), by=SELECTOR)
        floats = [name for name in own if own[name].is_floating_point()]
        check_types(file, ((name, str(weights[name].dtype).removeprefix("torch.")) for name in floats))
        check_finite(file, weights.items())
        self.network.load_state_dict(weights)

    def weights(self) -> dict[str, Tensor]:
        """Return the network's tensors as they are saved, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}

    def save_pretrained(self, folder: str | os.PathLike[str], *, card: ModelCard | None = None) -> None:
        """Save a folder with weights as safetensors, options, tokenizer and model card.

        A model that is already there is replaced atomically: a reader, or a killed process, leaves the old or the new
        model, never a mix. `card` has facts about the model for its README.md.

        Raises:
            FileExistsError: when the folder contains files that do not belong to a model.
        """
        with replaced_folder(folder) as fresh:
            saved = {"kind": self.kind, "options": self.options()}
            (fresh / SELECTOR).write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
            save_file(self.weights(), fresh / WEIGHTS, metadata={"format": "pt"})
            self.tokenizer.save_pretrained(fresh)
            text = self._card(card or ModelCard())
            (fresh / "README.md").write_text(text, encoding="utf-8", newline="\n")

    def _card(self, card: ModelCard) -> str:
        header = ["library_name: convmodel", "pipeline_tag: text-ranking", "tags: [conversational, convmodel]"]
        origin = f"fine-tuned from `{card.base_model}`" if card.base_model else "learned from scratch"
        parts = [
            "\n".join(["---", *header, "---"]),
            "# A response selection model",
            f"A {self.kind} with {self.parameters():,} parameters, {origin} with convmodel. It reads the turns so far "
            "and scores candidates as the next one.",
            "## Use\n\n```python\nfrom convmodel import Selector\n\n"
            'selector = Selector.from_pretrained("path/to/this/folder")\n'
            'print(selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]))\n```',
            *card.sections(),
            "## Limits\n\nIt prefers candidates that resemble its training data, true or false, and scores one highest "
            "even if all candidates are bad.",
        ]
        return "\n\n".join(parts) + "\n"


def class_of(kind: str) -> Any:
    """Return the class of a kind of selector, a key of `HOMES`."""
    module, name = HOMES[kind]
    return getattr(importlib.import_module(module), name)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the kind and the options of a saved selector, or raise a ValueError when the file has other contents."""
    config = read_json_object(folder / SELECTOR, remedy=MADE)
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in HOMES:
        raise ValueError(f"{folder / SELECTOR}: {STRANGE} (kind {kind!r}; known are {', '.join(HOMES)})")
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
