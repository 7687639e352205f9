"""Searches over candidates in their different forms."""

import pytest

from convmodel.models.selection.search.vectors import CandidateMatrix


@pytest.fixture(params=["quantised", "plain", "as they come"])
def ready(request: pytest.FixtureRequest) -> object:
    """Makes candidates searchable in each of the ways."""
    forms = {
        "quantised": CandidateMatrix,
        "plain": lambda candidates: CandidateMatrix(candidates, quantise=False),
        "as they come": lambda candidates: candidates,
    }
    return forms[request.param]
