"""A model in, the same with its products in whole numbers out: a quarter of the weights to read, on a CPU."""

import warnings

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from convmodel.generation.cpu import has_vnni

FULL = 127
"""The largest of the whole numbers that weights become."""

ROWS_AT_ONCE = 256
"""So many rows, and what they are on the way to their products, stay in a processor's cache."""


class Int8Linear(nn.Module):
    """`x W' + b` with weights of 8 bits, each output's with a scale of its own, and each row of x rounded to 8 bits.

    Rows are rounded one by one, so that a row's result is the same, bit for bit, alone and beside any others.

    Args:
        weight: (out, in).
        bias: (out,), or None.

    Raises:
        ValueError: where this torch, or the processor, cannot multiply so.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        if weight.device.type != "cpu" or not hasattr(torch, "quantize_per_channel"):
            raise ValueError(
                f'dtype="int8" runs on the CPU with a torch that quantises; here are {weight.device} and torch '
                f'{torch.__version__}; use dtype="float32", or "bfloat16" on a GPU'
            )
        out, width = weight.shape
        scales = (weight.detach().float().abs().amax(1) / FULL).clamp(min=1e-12)
        zeros = torch.zeros(out, dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch means to move these functions elsewhere
            whole = torch.quantize_per_channel(weight.detach().float(), scales.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(whole, None)
        self._bias = None if bias is None else bias.detach().float().clone()
        # The rounding's range is that of all rows together; this row, and rows of at most 1, make it the same always.
        self._range = torch.zeros(1, width)
        self._range[0, :2] = torch.tensor([1.0, -1.0])
        # Without VNNI, sums of two full products overflow 16 bits: 7 bits of x are used there.
        self._reduce_range = not has_vnni()
        self.out_features, self.in_features = out, width

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) fp32 in, (..., out) fp32 out, without gradients."""
        rows = x.detach().reshape(-1, self.in_features)
        if len(rows) <= ROWS_AT_ONCE:
            found = self._multiply(rows)
        else:
            found = rows.new_empty(len(rows), self.out_features)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                part = slice(first, first + ROWS_AT_ONCE)
                self._multiply(rows[part], out=found[part])
        return found.view(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        peaks = rows.abs().amax(1, keepdim=True).clamp_(min=1e-12)
        within = rows.new_empty(len(rows) + 1, self.in_features)
        within[:1] = self._range
        torch.div(rows, peaks, out=within[1:])
        product = torch.ops.quantized.linear_dynamic(within, self._packed, self._reduce_range)[1:]
        out = product if out is None else out  # in place: the head's products are many
        if self._bias is None:
            return torch.mul(product, peaks, out=out)
        return torch.addcmul(self._bias, product, peaks, out=out)


def to_int8(model: nn.Module) -> None:
    """Replaces a model's products, its head included; embeddings and layer norms stay as they are.

    Source of the scheme: per-channel weights and dynamically quantised activations, as in torch's `linear_dynamic`.

    Raises:
        ValueError: see `Int8Linear`.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D):
                setattr(module, name, Int8Linear(child.weight.t(), child.bias))
            elif isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child.weight, child.bias))


def is_int8(model: nn.Module) -> bool:
    """Whether `to_int8` changed it; then it can neither be trained nor saved."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
