"""Conversation files or Hub data sets in, batches out: the LightningDataModules."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

import numpy as np
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_info
from tqdm.auto import tqdm

from convmodel.data.atomic import atomic_folder
from convmodel.data.conversation import Conversation, ConversationReader, OnError
from convmodel.data.reader import Reader
from convmodel.data.selection_example import SelectionExample
from convmodel.models.devices import best_device
from convmodel.tokens.batching import Batch, ResumableDataLoader, Shard, TokenBudgetSampler, pad
from convmodel.tokens.conversation_layout import TrainOn
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.store import Segments, TokenStore, store_key
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer

SetT = TypeVar("SetT")
BatchT = TypeVar("BatchT")

READS = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",)}
"""The splits that each command reads; only fit does without its second."""


class LearnVocabulary(Protocol):
    """Learns a tokenizer from the training file."""

    def __call__(self, vocab_size: int, tokenizer_class: type[AnyTokenizer]) -> AnyTokenizer:
        """A vocabulary size in, a tokenizer of a class out."""


class AsksForTokenizer(Protocol):
    """What every data module asks of the LightningModule that it feeds."""

    def load_tokenizer(self, learn: LearnVocabulary) -> TextTokenizer:
        """The model's tokenizer; `learn` is called when it has none yet."""


class ReadsConversations(AsksForTokenizer, Protocol):
    """What the data module for models that write asks."""

    train_on: TrainOn

    @property
    def n_positions(self) -> int:
        """Tokens that the model can read at once."""


class FilesDataModule(LightningDataModule, Generic[SetT, BatchT]):
    """What data modules share: files by split, what is learned and kept of them, and which batches are asked for.

    Args:
        files: by split, "train", "valid" and "test"; None for those that are not given.
        on_error: "stop" or "skip".
        cache_dir: where tokens are kept.
    """

    noun = "conversations"
    """What is in the files, as errors call it."""

    def __init__(self, files: Mapping[str, str | None], *, on_error: OnError, cache_dir: str | None) -> None:
        super().__init__()
        self._files, self._on_error = files, on_error
        self._cache = Path(cache_dir or os.environ.get("CONVMODEL_CACHE") or Path.home() / ".cache" / "convmodel")
        self.described: dict[str, str] = {}
        self._sets: dict[str, SetT] = {}

    @abstractmethod
    def _laid_out(self, split: str) -> SetT:
        """What a file comes to for the model, described to a person in `described`."""

    @abstractmethod
    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[BatchT]:
        """The batches of a file that is laid out: in a new order each epoch, or always the same."""

    def setup(self, stage: str) -> None:
        """Lays the files out."""
        for split in self._wanted:
            if split not in self._sets:
                self._sets[split] = self._laid_out(split)

    def train_dataloader(self) -> ResumableDataLoader[BatchT]:
        """Batches in a new order each epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> ResumableDataLoader[BatchT] | list[ResumableDataLoader[BatchT]]:
        """Always the same batches; none without a `valid_file`."""
        return self._loader("valid", shuffle=False) if "valid" in self._sets else []

    def test_dataloader(self) -> ResumableDataLoader[BatchT]:
        """Always the same batches."""
        return self._loader("test", shuffle=False)

    @property
    def _seed(self) -> int:
        return int(os.environ.get("PL_GLOBAL_SEED", "0"))

    @property
    def _share(self) -> Shard:
        """Which of the batches are this process's."""
        assert self.trainer is not None
        return Shard(self.trainer.global_rank, self.trainer.world_size)

    def _by_length(
        self, lengths: np.ndarray, tokens_per_batch: int, *, shuffle: bool, **options: float
    ) -> TokenBudgetSampler:
        """What stands together when like lengths do; `options` go to the sampler."""
        return TokenBudgetSampler(
            lengths,
            tokens_per_batch=tokens_per_batch,
            shuffle=shuffle,
            seed=self._seed,
            share=self._share,
            **options,
        )

    @property
    def _wanted(self) -> list[str]:
        """The splits that the running command reads."""
        assert self.trainer is not None and self.trainer.state.fn is not None
        command = self.trainer.state.fn.value
        missing = [split for split in READS[command] if self._files[split] is None]
        if missing and (command, missing) != ("fit", ["valid"]):
            raise ValueError(f"data.{missing[0]}_file is not given; {command} reads its {self.noun}")
        return [split for split in READS[command] if split not in missing]

    def prepare_data(self) -> None:
        """Learns the vocabulary if the model has none, and writes the tokens of every file that has none yet."""
        for split in self._wanted:
            self._store(split)

    def _reader(self, file: str) -> Reader[Any, Any, Any]:
        return ConversationReader(file, on_error=self._on_error)

    _parts: Callable[[Any], Segments] | None = None
    """Gives the texts of what is read; see `TokenStore.build`."""

    @staticmethod
    def _texts(one: Any) -> Iterator[str]:
        """What a vocabulary is learned from."""
        assert isinstance(one, Conversation | SelectionExample)
        yield from one.persona
        yield from one.turns if isinstance(one, Conversation) else (*one.context, one.response)

    @property
    def _asks(self) -> AsksForTokenizer:
        assert self.trainer is not None
        return cast(AsksForTokenizer, self.trainer.lightning_module)

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return self._asks.load_tokenizer(self._learn)

    def _learn(self, vocab_size: int, tokenizer_class: type[AnyTokenizer]) -> AnyTokenizer:
        """Learns a vocabulary from the training file, or takes the one that was learned from the same bytes."""
        file = self._files["train"]
        if file is None:
            raise ValueError("data.train_file is not given; a model from scratch learns its vocabulary there")
        reader = self._reader(file)
        kind = "" if reader.noun == ConversationReader.noun else f"-{reader.noun}"  # which read other texts of it
        kind += "" if tokenizer_class is ConversationTokenizer else f"-{tokenizer_class.__name__}"
        folder = self._cache / "vocabularies" / f"{reader.fingerprint()}-{self._on_error}-{vocab_size}{kind}"
        if not folder.is_dir():
            rank_zero_info(f"Learning a vocabulary of {vocab_size:,} tokens from {file}")
            texts = (text for one in reader for text in self._texts(one))
            learned = tokenizer_class.learn(texts, vocab_size)
            with atomic_folder(folder) as fresh:
                learned.save_pretrained(fresh)
        return tokenizer_class.from_pretrained(folder)

    def _store(self, split: str) -> TokenStore:
        file = self._files[split]
        assert file is not None
        tokenizer = self._tokenizer
        reader = self._reader(file)
        key = store_key(reader.fingerprint(), tokenizer, on_error=self._on_error, of=reader.noun)
        folder = self._cache / "tokens" / key
        if not folder.is_dir():
            progress = tqdm(reader, desc=f"Tokenising {file}", unit=f" {reader.noun}s", disable=None, leave=False)
            TokenStore.build(progress, tokenizer, folder, parts=self._parts, describe=lambda: reader.report.summary())
        return TokenStore(folder)


class ConversationDataModule(FilesDataModule[WindowSet, Batch]):
    """Conversations for a model that writes replies.

    Files are JSON Lines (lists, objects or messages), ParlAI text, CSV, or any of them gzipped; `hub://...` is a data
    set of the Hugging Face Hub. See docs/conversation-files.md. Tokens are kept on disk between runs.

    Args:
        train_file: Conversations to learn from.
        valid_file: Conversations by whose loss the best model is chosen.
        test_file: Conversations for `test`.
        tokens_per_batch: Tokens of a batch at most, padding included. Conversations of like length stand together.
        max_length: Tokens of a window at most; the model's own window when null. A longer conversation is split by
            whole turns.
        on_error: What to do with a line that is no conversation: "stop", or "skip" and count it.
        window_context: For conversations longer than a window, the share of each further window that is kept for turns
            already seen. At 1.0 every turn has all the context that fits, and training takes longest.
        cache_dir: Where tokens are kept; `~/.cache/convmodel` (or $CONVMODEL_CACHE) when null.
    """

    def __init__(
        self,
        train_file: str | None = None,
        valid_file: str | None = None,
        test_file: str | None = None,
        tokens_per_batch: int = 2048,
        max_length: int | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        window_context: float = 0.5,
        cache_dir: str | None = None,
    ) -> None:
        files = {"train": train_file, "valid": valid_file, "test": test_file}
        super().__init__(files, on_error=on_error, cache_dir=cache_dir)
        self.save_hyperparameters()
        if not 0 <= window_context <= 1:
            raise ValueError(f"window_context={window_context}; allowed are 0.0 to 1.0")
        self._tokens_per_batch, self._max_length = tokens_per_batch, max_length
        self._window_context = window_context

    @property
    def _module(self) -> ReadsConversations:
        assert self.trainer is not None
        return cast(ReadsConversations, self.trainer.lightning_module)

    def window_set(self, split: Literal["train", "valid", "test"]) -> WindowSet:
        """The laid-out windows of a file that was set up."""
        return self._sets[split]

    def conversations(self, split: Literal["train", "valid", "test"]) -> Iterator[Conversation]:
        """The conversations of a file, read anew; none when there is no such file."""
        file = self._files[split]
        return iter(()) if file is None else iter(ConversationReader(file, on_error=self._on_error))

    def _laid_out(self, split: str) -> WindowSet:
        store = self._store(split)
        limit = window_length(self._max_length, self._module.n_positions)
        found = WindowSet(
            store,
            sep_token_id=self._tokenizer.sep_token_id,
            max_length=limit,
            train_on=self._module.train_on,
            context_share=self._window_context,
        )
        file, dropped = self._files[split], found.counts.dropped
        if dropped and self._on_error == "stop":
            raise ValueError(too_long_persona(file, dropped[0], limit, "data.max_length"))
        if not len(found):
            raise ValueError(f"{file}: no turn to predict with model.train_on={self._module.train_on}")
        counts = found.counts
        notes = [
            f"{counts.split:,} longer than {limit} tokens, split by turns" if counts.split else "",
            f"{counts.cut_turns:,} turns cut to {limit} tokens" if counts.cut_turns else "",
            f"{len(dropped):,} skipped for their long persona" if dropped else "",
        ]
        self.described[split] = "; ".join([store.summary.source, *filter(None, notes)])
        rank_zero_info(f"{split}: {self.described[split]}")
        return found

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[Batch]:
        windows = self._sets[split]
        sampler = self._by_length(windows.lengths, self._tokens_per_batch, shuffle=shuffle)
        return ResumableDataLoader(sampler, partial(_read, windows, self._tokenizer.sep_token_id))


def too_long_persona(file: str | None, number: int, limit: int, option: str) -> str:
    """What is said of a conversation, by its number from 0, whose persona leaves no room for a turn."""
    return (
        f"{file}: conversation {number + 1} has a persona that leaves no room for a turn in {limit} tokens; "
        f"shorten it, use a larger {option}, or data.on_error=skip"
    )


def window_length(max_length: int | None, n_positions: int) -> int:
    """Tokens of a window at most: what is asked for, or all that the model can read.

    Raises:
        ValueError: when more is asked for.
    """
    if max_length is not None and max_length > n_positions:
        raise ValueError(f"data.max_length={max_length}, but the model reads {n_positions} tokens at most")
    return n_positions if max_length is None else max_length


def _read(windows: WindowSet, pad_token_id: int, numbers: np.ndarray) -> Batch:
    return pinned(pad(windows.read(numbers), pad_token_id=pad_token_id))


def pinned(batch: Batch) -> Batch:
    """The same where a GPU can fetch it while it works; as it is where there is none."""
    if best_device().type == "cuda":
        return {name: values.pin_memory() for name, values in batch.items()}
    return batch
