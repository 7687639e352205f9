"""Fused selectors with weights that are made up."""

from convmodel.models.selection.fused_selector import FusedSelector, feature_names
from convmodel.models.selection.fusion import Feature, Fusion
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector import Selector
from tests.conftest import TEXTS

WEIGHTS = (0.7, -0.4, 0.9, 0.5, 1.1, 0.3, -0.6, -2.0)


def fused(encoder: Selector | None) -> FusedSelector:
    """A fused selector in which all features count."""
    names = feature_names(encoder)
    features = {
        name: Feature(weight, 0.1 * n, 1 + 0.5 * n)
        for n, (name, weight) in enumerate(zip(names, WEIGHTS, strict=False))
    }
    fingerprint = None if encoder is None else encoder.fingerprint()
    return FusedSelector(encoder, Fusion(features, WordStatistics.of(TEXTS), fingerprint))
