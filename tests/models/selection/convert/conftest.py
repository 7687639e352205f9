"""A small network."""

import pytest
import torch

from convmodel.models.selection.convert.network import ConvertNetwork
from tests.models.selection.convert.networks import SMALL


@pytest.fixture
def network() -> ConvertNetwork:
    """A small network none of whose parameters has its initial value."""
    torch.manual_seed(0)
    network = ConvertNetwork(SMALL, extra_contexts=True).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() > 1:  # ranges keep their values
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network
