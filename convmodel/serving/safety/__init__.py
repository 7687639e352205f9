"""Texts in, whether they may be said out: a list of words, a classifier, and what is done about what they find."""

from convmodel.serving.safety.policy import SIDES, STORES, Blocked, By, Classifier, Policy, Side, Store
from convmodel.serving.safety.word_list import WordList

__all__ = ["SIDES", "STORES", "Blocked", "By", "Classifier", "Policy", "Side", "Store", "WordList"]
