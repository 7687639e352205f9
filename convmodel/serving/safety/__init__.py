"""Content policy: a word list and a classifier that block inputs and replies."""

from convmodel.serving.safety.policy import (
    SIDES,
    STORES,
    BlockedStorage,
    BlockReason,
    Classifier,
    Detector,
    Policy,
    Side,
)
from convmodel.serving.safety.word_list import WordList

__all__ = ["SIDES", "STORES", "BlockReason", "BlockedStorage", "Classifier", "Detector", "Policy", "Side", "WordList"]
