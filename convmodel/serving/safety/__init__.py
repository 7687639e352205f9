"""Content policy: a word list and a classifier that block inputs and replies."""

from convmodel.serving.safety.policy import BlockReason, Classifier, Policy
from convmodel.serving.safety.word_list import WordList

__all__ = ["BlockReason", "Classifier", "Policy", "WordList"]
