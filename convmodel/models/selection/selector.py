"""Contexts and candidates in, scores out: the contract of all models that choose a reply, and their folders."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convmodel.models.card import ModelCard
from convmodel.models.devices import best_device, dtype_name, resolve_dtype
from convmodel.models.folder import checked_source, local_folder, replaced_folder, weights_digest
from convmodel.models.selection.inputs import Candidates, checked_candidates, checked_pools, context_ids
from convmodel.models.selection.registry import SELECTOR, STRANGE, WEIGHTS, class_of, load_weights, read_config
from convmodel.models.selection.scoring import bi_scores, poly_scores
from convmodel.models.selection.search.exact import TopK, search_bi, search_poly
from convmodel.models.selection.search.vectors import CandidateMatrix
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import store_key
from convmodel.tokens.text_tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class EncodedContexts:
    """What candidates are compared with.

    Args:
        vectors: (B, M, D); M is 1 but for poly-encoders.
        found: (B, M), which of them are there; at least one in each row.
    """

    vectors: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.vectors)


class Selector(ABC):
    """Scores candidates as the reply to a context. What takes texts leaves the network in evaluation mode.

    Args:
        network: the weights.
        tokenizer: makes ids of texts.
    """

    kind: ClassVar[str]
    """As it stands in folders."""

    tokenizer_class: ClassVar[type[TextTokenizer]] = ConversationTokenizer
    """What makes ids of its texts."""

    def __init__(self, network: nn.Module, tokenizer: TextTokenizer) -> None:
        self.network, self.tokenizer = network, tokenizer
        self._saved_fingerprint: str | None = None
        self._int8 = False

    # What an architecture says of itself

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What `build` needs beside the tokenizer, as plain values for JSON."""

    @classmethod
    @abstractmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        """Makes it with new weights from what `options` gave."""

    @abstractmethod
    def score(
        self,
        contexts: Sequence[Sequence[str]],
        candidates: Candidates,
        *,
        personas: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """Scores candidates.

        Args:
            contexts: B contexts, each the turns so far, oldest first.
            candidates: C texts for all contexts, or for each context C of its own.
            personas: sentences about the one who replies, for each context.

        Returns:
            (B, C) float32 on the CPU, higher is better.

        Raises:
            TypeError, ValueError: for a text that is missing, empty or no text, or pools of different sizes.
        """

    def encode_candidates(self, candidates: Sequence[str]) -> Tensor:
        """Encodes candidates once for all contexts: (C, D).

        Raises:
            TypeError: for a model that reads context and candidate together.
        """
        raise TypeError(
            f"a {self.kind} reads context and candidate together, so there is nothing of a candidate to keep; "
            "encode with a bi-encoder, a poly-encoder or ConveRT, and let this one rank the best of those"
        )

    def to_int8(self) -> None:
        """Makes the network multiply in whole numbers, on a CPU; then it can neither be trained nor saved.

        Raises:
            ValueError: for a model whose scores are not kept so, or another device.
        """
        raise ValueError(f'dtype="int8": a {self.kind} has no such form; use "auto", "float32" or "bfloat16"')

    # Where it is, and how it is kept

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def dtype(self) -> str:
        """The type that its numbers were loaded in: "float32", another of torch's, or "int8"."""
        return "int8" if self._int8 else dtype_name(self._number_type())

    def _number_type(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def fingerprint(self) -> str:
        """Return a digest of the weights, the configuration and the tokenizer as they are saved.

        It is the same wherever the model lies and whatever type it was loaded in; `dtype` tells that.
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
        """Loads a selector of any kind, or of this one, by folder or Hub name. Only safetensors are read.

        Args:
            name_or_path: what `save_pretrained` wrote.
            device: "cuda", "cpu", ...; an accelerator when there is one, when left out.
            dtype: "auto" is float32, since vectors are stored and scores compared; or a torch type, or its name; or
                "int8", for a cross-encoder or ConveRT on a CPU.

        Raises:
            FileNotFoundError: when there is no such folder or name.
            ValueError: when it is no selector, or one of another kind, or cannot be int8, or for a dtype that is none.
        """
        folder = local_folder(checked_source(name_or_path, needs=SELECTOR))
        saved = read_config(folder)
        home: type[Selector] = class_of(saved["kind"])
        if not issubclass(home, cls):
            raise ValueError(f"{folder}: holds a {home.kind}; load it with {home.__name__}, or with Selector")
        place = torch.device(device) if device is not None else best_device()
        kept = None if dtype == "int8" else resolve_dtype(dtype, place, "encoding")
        try:
            found = home.build(home.tokenizer_class.from_pretrained(folder), saved["options"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / SELECTOR}: {STRANGE} ({error!r})") from error
        found.load_weights(load_weights(folder), folder)
        if kept != torch.float32:  # weights that are rounded cannot tell what they were
            found._saved_fingerprint = found.fingerprint()
        if kept is None:
            found.network.to(place).eval()
            found.to_int8()
        else:
            found.place(place, kept)
        return found

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Moves the weights, for inference."""
        self.network.to(device, dtype).eval()

    def load_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Takes saved weights, in float32.

        Raises:
            ValueError: when they are of other sizes or names.
        """
        self._saved_fingerprint = None
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{folder}: {WEIGHTS} does not fit {SELECTOR}: {' '.join(str(error).split())}") from error

    def weights(self) -> dict[str, Tensor]:
        """What is saved of the network."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}

    def save_pretrained(self, folder: str | os.PathLike[str], *, card: ModelCard | None = None) -> None:
        """Saves a folder: weights as safetensors, options, tokenizer and model card.

        The folder is replaced in one step: whoever reads it, or kills this process, finds the old or the new one.

        Args:
            folder: where; an older model there is replaced.
            card: what is known of the model, for its README.md.

        Raises:
            FileExistsError: when the folder holds files that are no part of a model.
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
            "# A model that chooses replies",
            f"A {self.kind} with {self.parameters():,} parameters, {origin} with convmodel. It reads the turns so far "
            "and scores candidates as the next one.",
            "## Use\n\n```python\nfrom convmodel import Selector\n\n"
            'selector = Selector.from_pretrained("path/to/this/folder")\n'
            'print(selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]))\n```',
            *card.told(),
            "## Limits\n\nIt prefers what its data said, and knows no truth; of bad candidates it takes one too.",
        ]
        return "\n\n".join(parts) + "\n"


ContextRow = TypeVar("ContextRow")
CandidateRow = TypeVar("CandidateRow")


class DualEncoderSelector(Selector, Generic[ContextRow, CandidateRow]):
    """A selector that encodes contexts and candidates apart, so that candidates can be cached and searched.

    Training goes through rows: what `context_row` and `candidate_row` lay out, the two `encode_..._rows` encode with
    gradients.
    """

    @abstractmethod
    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> ContextRow:
        """Lays out the ids of a context's turns and persona sentences."""

    @abstractmethod
    def candidate_row(self, ids: Sequence[int]) -> CandidateRow:
        """Lays out the ids of a candidate."""

    @abstractmethod
    def encode_context_rows(self, rows: Sequence[ContextRow], *, recompute: bool = False) -> EncodedContexts:
        """B rows in; `recompute` trades time for memory when gradients come back, see `encoder.encode_in_batches`."""

    @abstractmethod
    def encode_candidate_rows(self, rows: Sequence[CandidateRow], *, recompute: bool = False) -> Tensor:
        """C rows in, (C, D) out."""

    @torch.inference_mode()
    def encode_contexts(
        self, contexts: Sequence[Sequence[str]], *, personas: Sequence[Sequence[str]] | None = None
    ) -> EncodedContexts:
        """Encodes B contexts, at least one; the arguments are those of `score`."""
        if not len(contexts):
            raise ValueError("there are no contexts; give at least one")
        self.network.eval()
        rows = [self.context_row(turns, persona) for turns, persona in context_ids(self.tokenizer, contexts, personas)]
        return self.encode_context_rows(rows)

    @torch.inference_mode()
    def encode_candidates(self, candidates: Sequence[str]) -> Tensor:
        """Encodes C candidates, at least one, once for all contexts: (C, D) on the model's device."""
        self.network.eval()
        texts = checked_candidates(candidates)
        return self.encode_candidate_rows([self.candidate_row(ids) for ids in self.tokenizer.encode_many(texts)])

    @staticmethod
    def score_encoded(contexts: EncodedContexts, candidates: Tensor) -> Tensor:
        """Scores encoded candidates.

        Args:
            contexts: B of them.
            candidates: (C, D) for all contexts, or (B, C, D).

        Returns:
            (B, C), higher is better.
        """
        if contexts.vectors.shape[1] == 1:
            return bi_scores(contexts.vectors[:, 0], candidates)
        return poly_scores(contexts.vectors, contexts.mask, candidates)

    @staticmethod
    def search_encoded(contexts: EncodedContexts, candidates: Tensor | CandidateMatrix, k: int) -> TopK:
        """The exact k best of (N, D) encoded candidates for each context."""
        if contexts.vectors.shape[1] == 1:
            return search_bi(contexts.vectors[:, 0], candidates, k)
        return search_poly(contexts.vectors, contexts.mask, candidates, k)

    @torch.inference_mode()
    def score(
        self,
        contexts: Sequence[Sequence[str]],
        candidates: Candidates,
        *,
        personas: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """See `Selector.score`. Every text is encoded once, however many pools hold it."""
        pools = checked_pools(contexts, candidates)
        if not len(contexts):
            return torch.empty(0, len(pools[0]))
        texts = list(dict.fromkeys(text for pool in pools for text in pool))
        numbers = {text: number for number, text in enumerate(texts)}
        vectors = self.encode_candidates(texts)
        places = torch.tensor([[numbers[text] for text in pool] for pool in pools], device=vectors.device)
        pool_vectors = vectors[places] if len(pools) == len(contexts) else vectors[places[0]]
        found = self.score_encoded(self.encode_contexts(contexts, personas=personas), pool_vectors)
        return found.float().cpu()
