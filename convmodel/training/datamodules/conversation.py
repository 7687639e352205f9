"""Lightning data module of conversations, for models that write replies."""

from typing import Any, cast

from convmodel.tokens.batching import Batch, ResumableDataLoader, TokenBudgetSampler
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.store import TokenStore
from convmodel.training.datamodules.base import (
    Files,
    FilesDataModule,
    Split,
    long_persona_message,
    pinned,
    window_length,
)
from convmodel.training.metrics import CorpusStats


class ConversationDataModule(FilesDataModule[WindowSet, Batch]):
    """Conversations for a model that writes replies.

    Files are JSON Lines (lists, objects or messages), ParlAI text or CSV, optionally gzipped; `hub://...` is a dataset
    of the Hugging Face Hub. See docs/conversation-files.md. Tokens are cached on disk between runs.

    Args:
        train_file: Training conversations.
        valid_file: Validation conversations; their loss selects the best model.
        test_file: Conversations for `test`.
        tokens_per_batch: Maximum number of tokens of a batch, padding included. Conversations of similar length are
            batched together.
        max_length: Maximum number of tokens of a window; the model's own limit if null. A longer conversation is split
            into windows of whole turns.
        window_context: For conversations longer than a window, the share of each further window that is reserved for
            turns of the previous ones. At 1.0 every turn has all the context that fits, and training takes longest.
    """

    def __init__(
        self,
        train_file: Files = None,
        valid_file: Files = None,
        test_file: Files = None,
        tokens_per_batch: int = 2048,
        max_length: int | None = None,
        window_context: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(train_file, valid_file, test_file, **options)
        if not 0 <= window_context <= 1:
            raise ValueError(f"window_context={window_context}; allowed are 0.0 to 1.0")
        self._tokens_per_batch = tokens_per_batch
        self._max_length = max_length
        self._window_context = window_context

    def corpus_stats(self, split: Split) -> CorpusStats:
        windows = self._sets[split]
        return CorpusStats("conversations", windows.conversations, {"word": windows.words()})

    def _build_set(self, store: TokenStore, file: str) -> tuple[WindowSet, list[str]]:
        limit = window_length(self._max_length, self._inputs.max_length)
        windows = WindowSet(
            store,
            layout=cast(ConversationTokenizer, self._tokenizer).layout,
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
            f"{len(dropped):,} skipped for their long persona" if dropped else "",
        ]

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[Batch]:
        windows = self._sets[split]
        sampler = TokenBudgetSampler(
            windows.lengths,
            tokens_per_batch=self._tokens_per_batch,
            shuffle=shuffle,
            seed=self._seed,
            shard=self._shard,
        )
        return ResumableDataLoader(sampler, pinned(windows.read_batch))
