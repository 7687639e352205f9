"""A small network."""

import pytest
import torch

from convmodel.models.selection.convert.network import (
    ConvertNetwork,
)
from tests.models.selection.convert.networks import SMALL


@pytest.fixture
def network() -> ConvertNetwork:
    """A small one, whose parameters are all different from where they begin."""
    torch.manual_seed(0)
    found = ConvertNetwork(SMALL, extra_contexts=True).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.numel() > 1:  # a range stays
                parameter.add_(0.3 * torch.randn_like(parameter))
    return found
