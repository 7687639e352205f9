"""What a person asked for in, checked and with its defaults out; imports nothing, so that --help is instant."""

from dataclasses import dataclass

VOCABULARY = 2048
WINDOW = 256
TOKENS_PER_BATCH = 512
"""Where there is no model: as in config.yaml."""

NEAR = 0.8


@dataclass(frozen=True)
class Settings:
    """What files are measured against.

    Args:
        model: whose tokenizer and window are used; a vocabulary learned from the first file when None.
        max_length: tokens of a window; the model's, or WINDOW, when None.
        tokens_per_batch: tokens of a batch at most, padding included.
        near: the similarity from which conversations are nearly the same.

    Raises:
        ValueError: when a number is out of its range.
    """

    model: str | None = None
    max_length: int | None = None
    tokens_per_batch: int = TOKENS_PER_BATCH
    near: float = NEAR

    def __post_init__(self) -> None:
        if not 0.5 <= self.near <= 1:
            raise ValueError(f"near={self.near}; allowed are 0.5 (half of the word pairs shared) to 1.0 (all)")
        if self.max_length is not None and self.max_length < 8:
            raise ValueError(f"max_length={self.max_length}; a window needs at least 8 tokens")
        if self.tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch={self.tokens_per_batch}; it must be at least 1")
