"""A selector that encodes candidates."""

import pytest

from convmodel.models.selection.bi_encoder import BiEncoder
from tests.models.selection.conftest import MakeSelector


@pytest.fixture
def selector(make_selector: MakeSelector) -> BiEncoder:
    return make_selector()
