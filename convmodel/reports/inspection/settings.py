"""Settings of an inspection and their defaults. This module imports no large library, so that --help is fast."""

from dataclasses import dataclass

VOCABULARY = 2048
WINDOW = 256
TOKENS_PER_BATCH = 1024
"""Defaults if no model is given: the values of config.yaml."""

NEAR = 0.8


@dataclass(frozen=True)
class InspectionSettings:
    """Settings of an inspection.

    Args:
        model: folder or Hub name of the model whose tokenizer and window are used. If None, a vocabulary is learned
            from the first file.
        max_length: maximum number of tokens of a window. If None, the model's, or `WINDOW` without a model.
        tokens_per_batch: maximum number of tokens of a training batch, padding included.
        near: minimum similarity of near copies, from 0.5 to 1.
        base: folder or Hub name of the base model, if `model` is an adapter.

    Raises:
        ValueError: if a number is out of range.
    """

    model: str | None = None
    max_length: int | None = None
    tokens_per_batch: int = TOKENS_PER_BATCH
    near: float = NEAR
    base: str | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.near <= 1:
            raise ValueError(f"near={self.near}; allowed are 0.5 (half of the word pairs shared) to 1.0 (all)")
        if self.max_length is not None and self.max_length < 8:
            raise ValueError(f"max_length={self.max_length}; a window needs at least 8 tokens")
        if self.tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch={self.tokens_per_batch}; it must be at least 1")
