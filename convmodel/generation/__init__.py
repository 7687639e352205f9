"""Token ids in, token ids out; knows nothing of turns or text."""

from convmodel.generation.decoding import asked_for, is_understood
from convmodel.generation.engine import Engine, Request, Ticket
from convmodel.generation.int8 import is_int8, to_int8
from convmodel.generation.rows import Row, generate_rows, score_rows

__all__ = [
    "Engine",
    "Request",
    "Row",
    "Ticket",
    "asked_for",
    "generate_rows",
    "is_int8",
    "is_understood",
    "score_rows",
    "to_int8",
]
