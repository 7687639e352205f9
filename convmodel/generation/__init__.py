"""Token ids in, token ids out; knows nothing of turns or text."""

from convmodel.generation.decoding import is_understood
from convmodel.generation.engine import Engine, QueueFull, Request, Ticket
from convmodel.generation.rows import Row, generate_rows, score_rows

__all__ = ["Engine", "QueueFull", "Request", "Row", "Ticket", "generate_rows", "is_understood", "score_rows"]
