"""Base of the data modules, which reads the files of each split, learns vocabularies and caches tokens on disk."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_info

from convmodel.data.conversation import ConversationReader, OnError
from convmodel.data.options import ReadOptions, option_style
from convmodel.data.reader import Reader, Source, format_count
from convmodel.models.devices import best_device
from convmodel.tokens.batching import Batch, ResumableDataLoader, Shard
from convmodel.tokens.store import Segments, TokenStore, to_segments
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer
from convmodel.tokens.turn_windows import TrainOn
from convmodel.training.datamodules.token_cache import TokenCache
from convmodel.training.metrics import CorpusStats

Files = list[str] | str | None
"""Files of a split: a path, a folder, a glob, a Hub address, or a list of them."""

Split = Literal["train", "valid", "test"]

SetT = TypeVar("SetT")
BatchT = TypeVar("BatchT")

NO_TOKENIZER = "there is no tokenizer yet; call convmodel.training.connect(module, data) first"
"""Error message of a module or data module that was used before `connect`."""

FEW_TOKENS = 10_000
"""Size of a training file, a few hundred short conversations, below which a model mostly memorises its texts."""

FEW_TOKENS_MEAN = (
    "so little text teaches a model to repeat it, and hardly anything else; give more, or fine-tune a model that can "
    "already write (--model.pretrained_model_name_or_path, or in Python from_pretrained)"
)

NO_VALIDATION_MEANS = (
    "valid: data.valid_file is not given (in Python, valid), so nothing measures whether the model gets worse on other "
    "texts, and the last model is exported, not the best; give it texts that are not in the training file"
)

SPLITS_BY_COMMAND = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",)}
"""Splits that each command reads. All of them are required, except the validation split of `fit`."""


@dataclass(frozen=True)
class ModelInputs:
    """Maximum numbers of tokens that a model reads, and the turns that it learns to predict.

    Args:
        reads: Class name of the data module whose examples the model reads.
        max_length: Maximum number of tokens of a window, or of a selector's context.
        train_on: Turns that the model learns to predict.
        max_meta_length: Maximum number of tokens of a document's meta.
        max_body_length: Maximum number of body tokens in a document's window; None for as many as fit.
        default_length: Maximum number of tokens of a window if `data.max_length` is null; None for `max_length`.
    """

    reads: str
    max_length: int
    train_on: TrainOn = "all"
    max_meta_length: int = 0
    max_body_length: int | None = None
    default_length: int | None = None


class FilesDataModule(LightningDataModule, Generic[SetT, BatchT]):
    """Base of the data modules: the files of each split, tokenised once and cached on disk.

    Args:
        train_file: Training files: a path, a folder, a glob in quotes, hub://... or a list of them.
        valid_file: Validation files; their loss selects the best model.
        test_file: Files for `test`.
        format: Format of the files; detected if null.
        columns: Columns or keys of files with unusual names, by role, such as context=question,response=answer.
        encoding: Encoding of files without a byte order mark; utf-8 if null.
        on_error: Action for a line that cannot be read: "stop" raises an error, "skip" counts the line and continues;
            "stop" if null.
        max_line_bytes: Maximum number of bytes of a line, row or value; 16 MiB if null.
        me: For chat exports: the person in whose name the model replies.
        gap: For chat exports: the pause after which a new conversation begins, such as 90m or 2d; 6h if null.
        name_speakers: For chat exports: whether the names of the others are put before their messages.
        mask: For chat exports: whether phone numbers, mail addresses, links and account numbers are replaced.
        keep_speakers: For chat exports and lists of utterances: whether the speakers of turns keep their names.
        cache_dir: Folder for cached tokens; `~/.cache/convmodel` (or $CONVMODEL_CACHE) if null.
    """

    noun = "conversations"
    """Plural name of the examples, for error messages."""

    to_segments: Callable[[Any], Segments] = staticmethod(to_segments)
    """Function that returns the texts of an example in the form in which a token store keeps them."""

    def __init__(
        self,
        train_file: Files,
        valid_file: Files,
        test_file: Files,
        format: str | None = None,
        columns: Mapping[str, str] | str | None = None,
        encoding: str | None = None,
        on_error: OnError | None = "stop",
        max_line_bytes: int | None = None,
        me: str | None = None,
        gap: str | float | None = None,
        name_speakers: bool | None = None,
        mask: bool | None = None,
        keep_speakers: bool | None = None,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # the arguments of the derived class
        self._files = {"train": train_file, "valid": valid_file, "test": test_file}
        with option_style("data"):
            options = (format, columns, encoding, on_error, max_line_bytes, me, gap, name_speakers, mask, keep_speakers)
            self._options = ReadOptions(*options)
        self._on_error: OnError = self._options.on_error or "stop"
        self._cache = TokenCache(cache_dir, self._on_error, self.to_segments)
        self.described: dict[str, str] = {}
        self.source_names: Mapping[str, str] = {}
        """Names of files in messages, by path; by default the path."""
        self._sets: dict[str, SetT] = {}
        self._accepted: tuple[TextTokenizer, ModelInputs] | None = None

    @abstractmethod
    def _build_set(self, store: TokenStore, file: str) -> tuple[SetT, list[str]]:
        """Build the dataset of a store, and return it with notes for the log. `file` names the files in messages."""

    def corpus_stats(self, split: Split) -> CorpusStats | None:
        """Return the numbers of examples and units of a split after `setup`; None for data without perplexity."""
        return None

    def examples(self, split: Split) -> Iterator[Any]:
        """Return an iterator over the examples of a split, which is empty if the split has no file."""
        file = self._files[split]
        return iter(()) if file is None else iter(self._named_reader(file))

    def dataset(self, split: Split) -> SetT:
        """Return the dataset of a split after `setup`."""
        return self._sets[split]

    @abstractmethod
    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[BatchT]:
        """Return the loader of a split; with `shuffle`, each epoch has another order."""

    # Before Lightning's hooks: see `convmodel.training.tokenizer.connect`

    def accept(self, tokenizer: TextTokenizer, inputs: ModelInputs) -> ModelInputs:
        """Take the model's tokenizer and limits, and return the limits that the examples will have.

        They may be lower than the model's, by options of the data module. Raises ValueError if the model reads the
        examples of another data module.
        """
        if inputs.reads not in [base.__name__ for base in type(self).__mro__]:
            raise ValueError(
                f"data is a {type(self).__name__}, but the model reads the examples of a {inputs.reads}; "
                f"give --data convmodel.training.{inputs.reads}"
            )
        self._accepted = (tokenizer, inputs)
        return inputs

    def learn_tokenizer(self, tokenizer_class: type[AnyTokenizer], vocab_size: int, **options: Any) -> AnyTokenizer:
        """Learn a vocabulary from the training file, or load it from the cache.

        Raises ValueError without a training file.
        """
        file = self._files["train"]
        if file is None:
            reads = f"fit reads its {self.noun}, and a model from scratch learns its vocabulary there"
            raise ValueError(f"data.train_file is not given; {reads}")
        with option_style("data"):
            return self._cache.learn_tokenizer(self._named_reader(file), tokenizer_class, vocab_size, **options)

    # Lightning's hooks

    def prepare_data(self) -> None:
        """Tokenise the files whose tokens are not in the cache."""
        for split in self._splits:
            self._store(self._files[split])

    def setup(self, stage: str) -> None:
        """Build the datasets."""
        for split in self._splits:
            if split not in self._sets:
                store = self._store(self._files[split])
                self._sets[split], notes = self._build_set(store, self._name(split))
                self.described[split] = "; ".join([store.summary.source, *filter(None, notes)])
                rank_zero_info(f"{split}: {self.described[split]}")
                if split == "train" and (tokens := int(store.ends[-1])) < FEW_TOKENS:
                    rank_zero_info(f"train: {format_count(tokens, 'token')}: {FEW_TOKENS_MEAN}")
        if "train" in self._splits and "valid" not in self._splits:
            rank_zero_info(NO_VALIDATION_MEANS)

    def train_dataloader(self) -> ResumableDataLoader[BatchT]:
        """Return training batches, in a new order each epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> ResumableDataLoader[BatchT] | list[ResumableDataLoader[BatchT]]:
        """Return validation batches, always the same; an empty list without a `valid_file`."""
        return self._loader("valid", shuffle=False) if "valid" in self._sets else []

    def test_dataloader(self) -> ResumableDataLoader[BatchT]:
        """Return test batches, always the same."""
        return self._loader("test", shuffle=False)

    # For derived classes

    @property
    def _seed(self) -> int:
        return int(os.environ.get("PL_GLOBAL_SEED", "0"))

    @property
    def _shard(self) -> Shard:
        assert self.trainer is not None
        return Shard(self.trainer.global_rank, self.trainer.world_size)

    @property
    def _splits(self) -> list[str]:
        assert self.trainer is not None and self.trainer.state.fn is not None
        command = self.trainer.state.fn.value
        missing = [split for split in SPLITS_BY_COMMAND[command] if self._files[split] is None]
        if missing and (command, missing) != ("fit", ["valid"]):
            raise ValueError(f"data.{missing[0]}_file is not given; {command} reads its {self.noun}")
        return [split for split in SPLITS_BY_COMMAND[command] if split not in missing]

    def _reader(self, file: Source) -> Reader[Any, Any, Any]:
        return ConversationReader(file, self._options)

    def _named_reader(self, file: str | list[str]) -> Reader[Any, Any, Any]:
        """Return the reader of some files, which has their name in its messages."""
        reader = self._reader(file)
        reader.source = self.source_names.get(str(file), reader.source)
        return reader

    def _name(self, split: str) -> str:
        """Return the name of a split's files in messages."""
        file = self._files[split]
        return ", ".join(file) if isinstance(file, list) else self.source_names.get(str(file), str(file))

    @property
    def _tokenizer(self) -> TextTokenizer:
        if self._accepted is None:
            raise ValueError(NO_TOKENIZER)
        return self._accepted[0]

    @property
    def _inputs(self) -> ModelInputs:
        if self._accepted is None:
            raise ValueError(NO_TOKENIZER)
        return self._accepted[1]

    def _store(self, file: Files) -> TokenStore:
        """Return the token store of files, and build it if it is not in the cache."""
        assert file is not None
        with option_style("data"):
            return self._cache.tokenise(self._named_reader(file), self._tokenizer)


def window_length(max_length: int | None, inputs: ModelInputs) -> int:
    """Return the maximum number of tokens of a window: `max_length`, or the default if it is None.

    Raises ValueError if `max_length` exceeds the limit of the model.
    """
    if max_length is not None and max_length > inputs.max_length:
        raise ValueError(f"data.max_length={max_length}, but the model reads {inputs.max_length} tokens at most")
    return max_length or inputs.default_length or inputs.max_length


def tell_default_length(max_length: int | None, inputs: ModelInputs) -> None:
    """Log the default length of windows if it is below the limit of the model and the user gave no length."""
    length = window_length(max_length, inputs)
    if max_length is None and length < inputs.max_length:
        rank_zero_info(
            f"data.max_length: {length:,} (the model reads up to {inputs.max_length:,}; longer takes memory)"
        )


def long_persona_message(file: str | None, index: int, limit: int, option: str) -> str:
    """Return the error message for a conversation whose persona leaves no room for a turn.

    Args:
        file: Name of the file.
        index: Index of the conversation, counted from 0.
        limit: Maximum number of tokens.
        option: Name of the option that sets the limit.
    """
    return (
        f"{file}: conversation {index + 1} has a persona that leaves no room for a turn in {limit} tokens; "
        f"shorten it, use a larger {option}, or data.on_error=skip"
    )


def pinned(read: Callable[[Any], Batch]) -> Callable[[Any], Batch]:
    """Return `read`; with CUDA, a function that also copies its batches to pinned memory, which a GPU reads faster."""
    if best_device().type != "cuda":
        return read
    return lambda indices: {name: values.pin_memory() for name, values in read(indices).items()}
