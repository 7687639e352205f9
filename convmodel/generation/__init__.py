"""Token ids in, token ids out; knows nothing of turns or text."""

from convmodel.generation.rows import Row, generate_rows, left_pad, score_rows

__all__ = ["Row", "generate_rows", "left_pad", "score_rows"]
