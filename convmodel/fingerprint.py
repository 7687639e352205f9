"""A model's weights and what else it depends on in, a digest out: the same model has the same wherever it lies."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(described: object, weights: Mapping[str, Tensor]) -> str:
    """Return a digest of weights. Half-precision values are widened first: it does not depend on the type they are in.

    Args:
        described: whatever else an output depends on; its `repr` must tell it whole.
        weights: by name.
    """
    digest = hashlib.blake2b(repr(described).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu()
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        digest.update(values.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
