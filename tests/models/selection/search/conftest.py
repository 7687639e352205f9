"""The forms of candidates that can be searched."""

import pytest

from convmodel.models.selection.search.vectors import CandidateMatrix


@pytest.fixture(params=["quantised", "plain", "as they come"])
def ready(request: pytest.FixtureRequest) -> object:
    """A function that makes candidates searchable in one of the forms."""
    forms = {
        "quantised": CandidateMatrix,
        "plain": lambda candidates: CandidateMatrix(candidates, quantise=False),
        "as they come": lambda candidates: candidates,
    }
    return forms[request.param]
