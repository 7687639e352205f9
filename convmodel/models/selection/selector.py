"""Base class of all models that score candidates as the next turn, with saving and loading."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convmodel.models.card import ModelCard
from convmodel.models.devices import best_device, dtype_name, resolve_dtype
from convmodel.models.folder import (
    DAMAGE,
    check_weights,
    checked_source,
    local_folder,
    replaced_folder,
    summary,
    weights_digest,
)
from convmodel.models.selection.inputs import Candidates, Contexts, Personas
from convmodel.models.selection.selector_files import (
    FUSION,
    LEXICAL,
    SELECTOR,
    STRANGE,
    TOGETHER,
    WEIGHTS,
    class_of,
    read_config,
    read_weights,
    write_card,
    write_config,
)
from convmodel.models.trainable import Trainable
from convmodel.models.weight_checks import check_finite, check_shapes, check_types, missing_weights
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import store_key
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.tokens.tokenizer_files import load_tokenizer


class Selector(Trainable, ABC):
    """A model that scores candidates as the reply to a context.

    Methods that take texts switch the network to evaluation mode and leave it there.
    """

    kind: str
    """The name of the architecture, such as "bi-encoder"; see `selector_files.HOMES`."""

    tokenizer_class: ClassVar[type[TextTokenizer]] = ConversationTokenizer
    """The class of the tokenizer of a loaded selector."""

    def __init__(self, network: nn.Module, tokenizer: TextTokenizer) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self._saved_fingerprint: str | None = None
        self._int8 = False

    def __repr__(self) -> str:
        parts = [self.kind, f"{self.parameters():,} parameters", f"{self.vocab_size:,} tokens"]
        if (longest := self.options().get("max_context")) is not None:
            parts.append(f"contexts of up to {longest:,} tokens")
        return f"{type(self).__name__}({', '.join(parts)}, {self.dtype} on {self.device})"

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
        """Encode C candidates as (C, D) vectors, which serve for all contexts.

        Raises:
            TypeError: for a model that reads context and candidate together.
        """
        raise TypeError(
            f"a {self.kind} reads context and candidate together, so candidates cannot be encoded in advance; "
            "encode with a bi-encoder, a poly-encoder or ConveRT, and rank the best candidates with this model"
        )

    def to_int8(self) -> None:
        """Convert the network's matrix products to int8, on a CPU.

        Afterwards a cross-encoder can be neither trained nor saved; ConveRT can.

        Raises:
            ValueError: for an architecture without an int8 form, or a device other than a CPU.
        """
        raise ValueError(f'dtype="int8": a {self.kind} has no such form; use "auto", "float32" or "bfloat16"')

    @property
    def searches(self) -> bool:
        """Whether candidates can be encoded in advance and searched. If so, there is a method `encode_contexts`."""
        return False

    @property
    def indexer(self) -> "Selector":
        """The selector that encodes the candidates of an index: this one, or the encoder of a fused selector."""
        return self

    # Device, number type, saving and loading

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return len(self.tokenizer)

    @property
    def dtype(self) -> str:
        """The type that the weights were loaded in: "float32", another torch type, or "int8"."""
        return "int8" if self._int8 else dtype_name(self._number_type())

    def _number_type(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def fingerprint(self) -> str:
        """Return a digest of the saved weights, the configuration and the tokenizer.

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
        *,
        fusion: bool = True,
    ) -> Self:
        """Load a selector of any kind, or of this class, by folder or Hub name. Only safetensors are read.

        Args:
            device: "cuda", "cpu", ...; by default an accelerator if there is one.
            dtype: a torch type or its name; "int8", for a cross-encoder or ConveRT on a CPU; or "auto" for float32,
                because vectors are stored in indexes and scores are compared.
            fusion: whether to return a fused selector if the folder has a `fusion.json`. Only
                `Selector.from_pretrained` does so; the classes of architectures ignore the file. If False, a lexical
                selector gets its default weights.

        Raises:
            FileNotFoundError: when there is no such folder or name.
            ValueError: for a folder without a selector, a selector of another class, "int8" for an architecture
                without it, an unknown dtype, or a fusion that was learned with another selector.
        """
        folder = local_folder(checked_source(name_or_path, needs=SELECTOR, weights=False))
        saved = read_config(folder)
        is_general = cls is Selector
        if saved["kind"] == LEXICAL:
            if not is_general:
                raise ValueError(f"{folder}: holds a {LEXICAL} selector; load it with Selector")
            return cast(Self, class_of(LEXICAL).read(None, folder, learned=fusion))
        check_weights(folder)
        selector = cls._load(folder, saved, device, dtype)
        if fusion and is_general and (folder / FUSION).is_file():
            return cast(Self, class_of(LEXICAL).read(selector, folder))
        return selector

    @classmethod
    def _load(
        cls, folder: Path, saved: dict[str, Any], device: str | torch.device | None, dtype: str | torch.dtype
    ) -> Self:
        """Load a selector with weights from a folder; `saved` holds the contents of its `selector.json`."""
        selector_class: type[Self] = class_of(saved["kind"])
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
        if number_type != torch.float32:  # computed before the saved weights are rounded
            selector._saved_fingerprint = selector.fingerprint()
        if number_type is None:
            selector.network.to(target).eval()
            selector.to_int8()
        else:
            selector.place(target, number_type)
        return selector

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the weights to a device and a number type, and switch the network to evaluation mode."""
        self.network.to(device, dtype).eval()

    def load_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Load saved weights into the network.

        Args:
            weights: the saved tensors by name.
            folder: the folder that they were read from, for messages.

        Raises:
            ValueError: for names or shapes that differ from the network's, weights that are not floating-point numbers,
                and NaN or infinity.
        """
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
        """Return the tensors to save, by name, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}

    def save_pretrained(self, folder: str | os.PathLike[str], *, card: ModelCard | None = None) -> None:
        """Save weights as safetensors, options, tokenizer and model card to a folder.

        An existing model is replaced atomically: even if the process is killed, the folder holds the old or the new
        model, never a mix. `card` has facts about the model for its README.md.

        Raises:
            FileExistsError: when the folder contains files that do not belong to a model.
        """
        with replaced_folder(folder) as fresh:
            self.write_files(fresh, card or ModelCard())

    def write_files(self, folder: Path, card: ModelCard) -> None:
        """Write the files of a saved selector into a folder."""
        write_config(folder, self.kind, self.options())
        save_file(self.weights(), folder / WEIGHTS, metadata={"format": "pt"})
        self.tokenizer.save_pretrained(folder)
        write_card(folder, self.kind, self.parameters(), card)
