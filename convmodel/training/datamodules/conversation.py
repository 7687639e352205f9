"""Lightning data module of conversations, for models that write replies."""

from typing import Any, cast

from pytorch_lightning.utilities import rank_zero_info

from convmodel.data.conversation import ConversationReader
from convmodel.data.reader import Source
from convmodel.tokens.batching import Batch, ResumableDataLoader, TokenBudgetSampler
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.store import TokenStore
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import (
    Files,
    FilesDataModule,
    ModelInputs,
    Split,
    long_persona_message,
    pinned,
    tell_default_length,
    window_length,
)
from convmodel.training.datamodules.mix import Mix
from convmodel.training.metrics import CorpusStats


class ConversationDataModule(FilesDataModule[WindowSet, Batch]):
    """Conversations for a model that writes replies.

    Files are JSON Lines (lists, objects or messages), ParlAI text or CSV, optionally gzipped. `hub://...` is a dataset
    of the Hugging Face Hub. See docs/conversation-files.md. Tokens are cached on disk between runs.

    Args:
        train_file: Training conversations.
        valid_file: Validation conversations; their loss selects the best model.
        test_file: Conversations for `test`.
        tokens_per_batch: Maximum number of tokens of a batch, padding included. Conversations of similar length are
            batched together.
        max_length: Maximum number of tokens of a window. If null, the model's own limit, but at most 1,024 for a
            pretrained model. A longer conversation is split into windows of whole turns.
        window_context: Share of a window that is reserved for turns of the previous window, as context, when a
            conversation is split. With 1.0 every turn has all the context that fits, and training takes longest.
        mix: Files of other conversations that are mixed into training, each with its share of an epoch's tokens, such
            as `{general.jsonl: 0.1}`, so that a fine-tuned model does not forget them. Every epoch reads all of
            `train_file` and another sample of each mixed file.
    """

    def __init__(
        self,
        train_file: Files = None,
        valid_file: Files = None,
        test_file: Files = None,
        tokens_per_batch: int = 2048,
        max_length: int | None = None,
        window_context: float = 0.5,
        mix: dict[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(train_file, valid_file, test_file, **options)
        if not 0 <= window_context <= 1:
            raise ValueError(f"window_context={window_context}; allowed are 0.0 to 1.0")
        self._mix = Mix(mix or {})
        self._tokens_per_batch = tokens_per_batch
        self._max_length = max_length
        self._window_context = window_context

    def accept(self, tokenizer: TextTokenizer, inputs: ModelInputs) -> ModelInputs:
        accepted = super().accept(tokenizer, inputs)
        tell_default_length(self._max_length, accepted)
        return accepted

    def prepare_data(self) -> None:
        """Tokenise the files whose tokens are not in the cache."""
        super().prepare_data()
        for file in self._mixed_files:
            self._store(file)

    def setup(self, stage: str) -> None:
        """Build the datasets."""
        super().setup(stage)
        if self._mix.sets or not self._mixed_files:
            return
        for file in self._mixed_files:
            store = self._store(file)
            windows, notes = self._build_set(store, file)
            self._mix.add(file, windows, tokens=int(self._sets["train"].lengths.sum()), seed=self._seed)
            notes = [store.summary.source, *filter(None, notes), self._mix.describe(file)]
            self.described[f"mix {file}"] = "; ".join(notes)
            rank_zero_info(f"mix: {self.described[f'mix {file}']}")

    @property
    def _mixed_files(self) -> list[str]:
        return [*self._mix.shares] if "train" in self._splits else []

    def corpus_stats(self, split: Split) -> CorpusStats:
        windows = self._sets[split]
        return CorpusStats("conversations", windows.conversations, {"word": windows.words()})

    def _reader(self, file: Source) -> ConversationReader:
        return ConversationReader(file, self._options, named=True)

    def _build_set(self, store: TokenStore, file: str) -> tuple[WindowSet, list[str]]:
        limit = window_length(self._max_length, self._inputs)
        layout = cast(ConversationTokenizer, self._tokenizer).layout
        speakers = layout.max_speakers
        windows = WindowSet(
            store,
            layout=layout,
            max_length=limit,
            train_on=self._inputs.train_on,
            context_share=self._window_context,
        )
        counts = windows.counts
        dropped = counts.dropped
        if dropped and self._on_error == "stop":
            raise ValueError(long_persona_message(file, dropped[0], limit, "data.max_length"))
        if not len(windows):
            raise ValueError(f"{file}: no turn to predict with model.train_on={self._inputs.train_on}")
        return windows, [
            f"{counts.split:,} longer than {limit} tokens, split by turns" if counts.split else "",
            f"{counts.cut_turns:,} turns cut to {limit} tokens" if counts.cut_turns else "",
            f"{counts.crowded:,} of more than model.max_speakers={speakers}: the others share the last type"
            if counts.crowded
            else "",
            f"{len(dropped):,} skipped for their long persona" if dropped else "",
        ]

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[Batch]:
        windows = self._sets[split]
        options: dict[str, Any] = {"tokens_per_batch": self._tokens_per_batch, "seed": self._seed}
        if shuffle and self._mix.sets:
            mixed_sampler, read_mixed = self._mix.batches(windows, **options)
            return ResumableDataLoader(mixed_sampler, pinned(read_mixed), self._shard)
        sampler = TokenBudgetSampler(windows.lengths, shuffle=shuffle, **options)
        return ResumableDataLoader(sampler, pinned(windows.read_batch), self._shard)
