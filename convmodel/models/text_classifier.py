"""Texts in, the label that flags each of them out: any model of transformers that classifies texts, by folder."""

import math
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from convmodel.models.devices import best_device, release_openmp_threads, resolve_dtype
from convmodel.models.folder import checked_source, quiet_progress
from convmodel.tokens.text_tokenizer import TextEncoder

WINDOW = 512
"""Tokens that are read together at most, whatever more the model could read."""

TOKENS_AT_ONCE = 4_096
"""Tokens of a batch, padding included."""

THRESHOLD = 0.5
"""From which probability on a label flags, where nobody says."""

Scores = dict[str, float]
"""A probability for each label."""


class TextClassifier:
    """Finds texts that have one of some labels; several threads may use it at once.

    A text that is longer than the model's window is read in windows that overlap by a quarter, and has of each label
    the highest probability of all of them, so that nothing hides behind a long beginning. What looks like a control
    token in a text is read as the letters that it is.

    Args:
        network: a `...ForSequenceClassification` of transformers, in evaluation mode.
        tokenizer: its own.
        flags: the labels that flag a text. May be left out where the model has one label alone.
        threshold: the probability from which on they do.

    Raises:
        ValueError: for a label that the model has not, and for a model that gives numbers, not classes.

    Example:
        >>> classifier = TextClassifier.from_pretrained("toxicity", flags=["toxic"])
        >>> classifier(["Have a nice day.", "You idiot!"])
        [None, 'toxic']
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        flags: Collection[str] | None = None,
        threshold: float = THRESHOLD,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}; allowed are numbers above 0 and at most 1")
        self._network, self._config = network, cast(Any, network).config
        if self._config.problem_type == "regression":
            raise ValueError("the model gives numbers and no classes (problem_type: regression); give a classifier")
        self.labels = [str(self._config.id2label[number]) for number in range(self._config.num_labels)]
        self._flags, self._threshold = _checked_flags(self.labels, flags), threshold
        self._each_alone = self._config.problem_type == "multi_label_classification" or len(self.labels) == 1
        special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        self._encode = TextEncoder(tokenizer, sorted(special))
        self._before, self._after = _around(tokenizer, self._encode)
        self._size = _window(network, tokenizer) - len(self._before) - len(self._after)
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        flags: Collection[str] | None = None,
        threshold: float = THRESHOLD,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> "TextClassifier":
        """Loads a model by folder or Hub name. Only safetensors are read, and no code of the folder is run.

        Args:
            name_or_path: as `save_pretrained` makes it.
            flags, threshold: see `TextClassifier`.
            device: "cuda", "cpu", ...; an accelerator when there is one, when left out.
            dtype: "auto" is float32, since probabilities are compared with a threshold; or a torch type, or its name.

        Raises:
            FileNotFoundError: when there is no such folder.
            ValueError: when it holds no text classifier.
        """
        source = checked_source(name_or_path)
        place = torch.device(device) if device is not None else best_device()
        try:
            network, tokenizer = _load(source, resolve_dtype(dtype, place, "evaluation"))
            network.to(place).eval()
            return cls(network, tokenizer, flags=flags, threshold=threshold)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            told = str(error).splitlines() or [repr(error)]
            raise ValueError(f"{source}: {told[0]}") from error
        finally:
            release_openmp_threads()

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """For each text the likeliest of the labels that flag it; None where none does."""
        found: list[str | None] = []
        for scores in self.scores(texts):
            label = max(self._flags, key=scores.__getitem__)
            found.append(label if scores[label] >= self._threshold else None)
        return found

    @torch.inference_mode()
    def scores(self, texts: Sequence[str]) -> list[Scores]:
        """For each text the probability of each label, the highest of its windows; 0 for a text of white space.

        Raises:
            RuntimeError: when the model gives what is no number.
        """
        said = [text.encode("utf-8", "replace").decode() for text in texts]  # a lone surrogate is no text
        windows = [(number, ids) for number, text in enumerate(said) if text.strip() for ids in self._windows(text)]
        highest = torch.zeros(len(texts), len(self.labels))
        with self._lock:
            try:
                for batch in self._batches(windows):
                    numbers = torch.tensor([number for number, _ in batch])
                    found = self._read([ids for _, ids in batch])
                    highest.scatter_reduce_(0, numbers[:, None].expand_as(found), found, "amax")
            finally:
                release_openmp_threads()  # which would slow down the one that writes
        return [dict(zip(self.labels, row, strict=True)) for row in highest.tolist()]

    def _windows(self, text: str) -> Iterator[list[int]]:
        """The ids of a text in pieces that the model can read, what it wants around each included."""
        [ids] = self._encode([text])
        overlap = self._size // 4
        for start in range(0, max(1, len(ids) - overlap), self._size - overlap):
            yield [*self._before, *ids[start : start + self._size], *self._after]

    def _batches(self, windows: Sequence[tuple[int, list[int]]]) -> Iterator[list[tuple[int, list[int]]]]:
        """Windows of like length together; one at a time for a model that knows no padding."""
        batch: list[tuple[int, list[int]]] = []
        alone = getattr(self._config, "pad_token_id", None) is None
        for window in sorted(windows, key=lambda each: len(each[1])):
            if batch and (alone or (len(batch) + 1) * len(window[1]) > TOKENS_AT_ONCE):
                yield batch
                batch = []
            batch.append(window)
        if batch:
            yield batch

    def _read(self, rows: Sequence[list[int]]) -> Tensor:
        """B rows of ids in, (B, labels) probabilities out."""
        longest = max(map(len, rows))
        pad = getattr(self._config, "pad_token_id", None) or 0
        device = next(self._network.parameters()).device
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        logits = self._network(input_ids=ids, attention_mask=mask).logits.float().cpu()
        found = cast(Tensor, logits.sigmoid() if self._each_alone else logits.softmax(-1))
        if found.isnan().any():
            raise RuntimeError("the classifier gave what is no number; load it in float32")
        return found


def _load(source: str, dtype: torch.dtype) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The model and its tokenizer, as transformers has them; whatever the folder says, its code is not run.

    Raises:
        ValueError: when the folder holds no weights for what classifies, or no vocabulary.
    """
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    with quiet_progress():
        network, report = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"holds a {config.model_type} model that classifies no texts (there is no {missing[0]}); give one that was "
            "trained to, and saved by save_pretrained"
        )
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes one where there is none
        raise ValueError("holds no vocabulary; give a folder with the model's tokenizer (tokenizer.json)")
    return network, tokenizer


def _checked_flags(labels: Sequence[str], flags: Collection[str] | None) -> list[str]:
    """The labels that flag."""
    if flags is None and len(labels) == 1:
        return list(labels)
    wrong = [flag for flag in flags or () if flag not in labels]
    if wrong or not flags:
        said = f"there is no label {wrong[0]!r}" if wrong else "nobody said which labels flag a text"
        raise ValueError(f"{said}; the model has {', '.join(labels)}")
    return list(dict.fromkeys(flags))


def _around(tokenizer: PreTrainedTokenizerBase, encode: TextEncoder) -> tuple[list[int], list[int]]:
    """The ids that a model wants before and after those of a text."""
    probe = "a"
    whole, [bare] = list(tokenizer(probe)["input_ids"]), encode([probe])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise ValueError(f"its tokenizer reads {probe!r} as {whole}, in which the text itself ({bare}) cannot be told")


def _window(network: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokens that a model can read together.

    Raises:
        ValueError: when there are too few to read anything.
    """
    limits = [WINDOW, tokenizer.model_max_length]
    positions = getattr(cast(Any, network).config, "max_position_embeddings", None)
    if positions:
        # RoBERTa's family counts positions from behind that of its padding.
        starts = [
            module.padding_idx + 1
            for name, module in network.named_modules()
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        ]
        limits.append(positions - max(starts, default=0))
    found = math.floor(min(limits))
    if found < 8:
        raise ValueError(f"it reads {found} tokens at once, too few for a text")
    return found
