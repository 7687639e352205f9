"""A model's weights and what else it depends on in, a digest out: the same model has the same wherever it lies."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(described: object, weights: Mapping[str, Tensor]) -> str:
    """A digest of weights.

    Args:
        described: whatever else an output depends on; its `repr` must tell it whole.
        weights: by name.
    """
    digest = hashlib.blake2b(repr(described).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
