"""Flagging of unwanted texts by a text classification model of transformers."""

import math
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from convmodel.generation.padded import pad
from convmodel.models.devices import best_device, release_openmp_threads, resolve_dtype
from convmodel.models.folder import checked_source, naming
from convmodel.models.loading import check_vocabulary, load_weights, read_model_config
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.text_tokenizer import TextEncoder
from convmodel.tokens.tokenizer_files import load_tokenizer

WINDOW = 512
"""Largest size of a window in tokens, even if the model has more positions."""

TOKENS_PER_BATCH = 4_096
"""Largest number of tokens in a batch, padding included."""

THRESHOLD = 0.5
"""Default of the smallest probability with which a label flags a text."""


class TextClassifier:
    """Classifier that flags texts if one of the chosen labels is probable; thread-safe.

    A text longer than the model's window is split into windows that overlap by a quarter. The probability of a label is
    the highest of all windows, so that a long beginning cannot hide a flagged part. Control tokens in a text are
    encoded as ordinary characters.

    Args:
        network: a `...ForSequenceClassification` model of transformers, in evaluation mode.
        tokenizer: the tokenizer of the model.
        flags: the labels that flag a text; may be omitted if the model has a single label.
        threshold: the smallest probability with which a label flags a text.

    Raises:
        ValueError: for a label that the model does not have, and for a regression model.

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
        self._network = network
        self._config = cast(Any, network).config
        if self._config.problem_type == "regression":
            raise ValueError("the model predicts numbers, not classes (problem_type: regression); give a classifier")
        self.labels = [str(self._config.id2label[index]) for index in range(self._config.num_labels)]
        self._flags = _check_flags(self.labels, flags)
        self._threshold = threshold
        self._independent = self._config.problem_type == "multi_label_classification" or len(self.labels) == 1
        special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        self._encode = TextEncoder(tokenizer, sorted(special))
        self._prefix, self._suffix = _special_ids(tokenizer, self._encode)
        self._size = _window_size(network, tokenizer) - len(self._prefix) - len(self._suffix)
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
        """Load a model by folder or Hub name. Only safetensors are read, and no code of the folder is run.

        Args:
            name_or_path: a folder written by transformers' `save_pretrained`, or a Hub name.
            flags, threshold: see `TextClassifier`.
            device: "cuda", "cpu", ...; by default an accelerator if there is one.
            dtype: a torch type or its name; or "auto" for float32, because probabilities are compared with a threshold.

        Raises:
            FileNotFoundError: when there is no such folder.
            ValueError: when it does not contain a text classifier.
        """
        source = checked_source(name_or_path)
        target = torch.device(device) if device is not None else best_device()
        try:
            network, tokenizer = _load(source, resolve_dtype(dtype, target, "evaluation"))
            module = cast(nn.Module, network).to(target).eval()
            with naming(source):
                return cls(module, tokenizer, flags=flags, threshold=threshold)
        finally:
            release_openmp_threads()

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """Return, for each text, the most probable label that flags it, or None if it is not flagged."""
        scores = self.scores(texts)
        labels = [max(self._flags, key=of_text.__getitem__) for of_text in scores]
        pairs = zip(labels, scores, strict=True)
        return [label if of_text[label] >= self._threshold else None for label, of_text in pairs]

    @torch.inference_mode()
    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return, for each text, the probabilities by label; blank texts have the probability 0 for all labels.

        Raises:
            RuntimeError: when the model computes NaN.
        """
        encodable = [text.encode("utf-8", "replace").decode() for text in texts]  # replaces lone surrogates
        windows = [(index, ids) for index, text in enumerate(encodable) if text.strip() for ids in self._windows(text)]
        highest = torch.zeros(len(texts), len(self.labels))
        with self._lock:
            try:
                max_rows = 1 if getattr(self._config, "pad_token_id", None) is None else None
                lengths = [len(ids) for _, ids in windows]
                for batch in batches_by_length(lengths, max_tokens=TOKENS_PER_BATCH, max_rows=max_rows):
                    indices = torch.tensor([windows[i][0] for i in batch])
                    probabilities = self._probabilities([windows[i][1] for i in batch])
                    highest.scatter_reduce_(0, indices[:, None].expand_as(probabilities), probabilities, "amax")
            finally:
                release_openmp_threads()  # idle threads would slow down the thread that generates replies
        return [dict(zip(self.labels, row, strict=True)) for row in highest.tolist()]

    def _windows(self, text: str) -> Iterator[list[int]]:
        """Yield overlapping windows of a text's ids, each with the model's special tokens."""
        [ids] = self._encode([text])
        overlap = self._size // 4
        for start in range(0, max(1, len(ids) - overlap), self._size - overlap):
            yield [*self._prefix, *ids[start : start + self._size], *self._suffix]

    def _probabilities(self, rows: Sequence[list[int]]) -> Tensor:
        """Return the (B, L) probabilities of L labels for B rows of ids."""
        device = next(self._network.parameters()).device
        ids = pad(rows, getattr(self._config, "pad_token_id", None) or 0, device)
        logits = self._network(input_ids=ids, attention_mask=pad([[1] * len(row) for row in rows], 0, device)).logits
        logits = logits.float().cpu()
        probabilities = cast(Tensor, logits.sigmoid() if self._independent else logits.softmax(-1))
        if probabilities.isnan().any():
            raise RuntimeError("the classifier computed NaN; load it in float32")
        return probabilities


def _load(source: str, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model and its tokenizer; raise ValueError for a model without a classification head."""
    config = read_model_config(source)
    head = "a text classification head"
    network = load_weights(AutoModelForSequenceClassification, source, config, dtype=dtype, head=head)
    tokenizer = load_tokenizer(source)
    check_vocabulary(source, tokenizer, cast(nn.Embedding, network.get_input_embeddings()).num_embeddings)
    return network, tokenizer


def _check_flags(labels: Sequence[str], flags: Collection[str] | None) -> list[str]:
    """Return the labels that flag a text, without duplicates; raise ValueError for unknown or missing labels."""
    if flags is None and len(labels) == 1:
        return list(labels)
    unknown = [flag for flag in flags or () if flag not in labels]
    if unknown or not flags:
        problem = f"there is no label {unknown[0]!r}" if unknown else "no flagging labels were given"
        raise ValueError(f"{problem}; the model has {', '.join(labels)}")
    return list(dict.fromkeys(flags))


def _special_ids(tokenizer: PreTrainedTokenizerBase, encode: TextEncoder) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer adds before a text, and those that it adds after the text."""
    probe = "a"
    whole = list(tokenizer(probe)["input_ids"])
    [bare] = encode([probe])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise ValueError(f"its tokenizer encodes {probe!r} as {whole}, which does not contain the text's own ids {bare}")


def _window_size(network: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the size of the model's window in tokens; raise ValueError if it is too small for a text."""
    limits = [WINDOW, tokenizer.model_max_length]
    positions = getattr(cast(Any, network).config, "max_position_embeddings", None)
    if positions:
        # RoBERTa and its relatives number positions from padding_idx + 1.
        starts = [
            module.padding_idx + 1
            for name, module in network.named_modules()
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        ]
        limits.append(positions - max(starts, default=0))
    size = math.floor(min(limits))
    if size < 8:
        raise ValueError(f"its window has {size} tokens, too few for a text")
    return size
