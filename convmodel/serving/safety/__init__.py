"""Texts in, whether they may be said out: a list of words, a classifier, and what is done about what they find."""

from convmodel.serving.safety.policy import SIDES, STORES, Blocked, BlockedStorage, By, Classifier, Policy, Side
from convmodel.serving.safety.word_list import WordList

__all__ = ["SIDES", "STORES", "Blocked", "BlockedStorage", "By", "Classifier", "Policy", "Side", "WordList"]
