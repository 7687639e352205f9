"""Token ids in, token ids out; knows nothing of turns or text."""

from convmodel.generation.engine import Engine
from convmodel.generation.int8 import is_int8, to_int8
from convmodel.generation.padded import Row, WhenGivenUp, generate_rows, score_rows
from convmodel.generation.request import Request, Ticket
from convmodel.generation.sampler import is_understood

__all__ = [
    "Engine",
    "Request",
    "Row",
    "Ticket",
    "WhenGivenUp",
    "generate_rows",
    "is_int8",
    "is_understood",
    "score_rows",
    "to_int8",
]
