"""Quantise the linear layers of a model to int8, which reads a quarter of the bytes of fp32 weights, on a CPU."""

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.pytorch_utils import Conv1D

from convmodel.generation.cpu import has_vnni

if TYPE_CHECKING:
    from convmodel.generation.compiled.linear import Product

FULL = 127
"""Largest quantised weight."""

ROWS_AT_ONCE = 256
"""Rows that fit, with their intermediate results, in a processor's cache."""


class Int8Linear(nn.Module):
    """Linear layer `x W' + b` with int8 weights and one scale per output, for language models.

    Each row of x is rounded to integers of at most 16 bits, fewer if the exact sums would exceed 32 bits (13 bits for
    2,000 inputs). With so many bits, a few large values in a row do not erase its small ones. The result of a row does
    not depend on the other rows, bit for bit. The weights are (out, in), the bias is (out,).

    Raises:
        ValueError: for weights that are not on a CPU.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        _check_device(weight)
        self.out_features, self.in_features = weight.shape
        rows = weight.detach().float()
        scales = (rows.abs().amax(1) / FULL).clamp(min=1e-12)
        whole = (rows / scales[:, None]).round_().to(torch.int8)
        self.parts = whole, scales, None if bias is None else bias.detach().float()
        self._product: Product | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out) fp32 products of (..., in) fp32 rows, without gradients."""
        from convmodel.generation.compiled.linear import Product  # numba takes half a second to import

        if self._product is None:  # a compiled decoder has weights of its own, and does not need these
            self._product = Product(*self.parts)
        rows = x.detach().reshape(-1, self.in_features).float().contiguous()
        return self._product(rows).view(*x.shape[:-1], self.out_features)


class DynamicInt8Linear(nn.Module):
    """Linear layer with int8 weights that rounds each row of x to 8 bits too, for encoders of many rows.

    Rows are rounded separately, so that the result of a row does not depend on the other rows, bit for bit. The
    weights are (out, in), the bias is (out,). Source of the scheme: torch's `linear_dynamic`.

    Raises:
        ValueError: when this version of torch, or the processor, has no int8 products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        _check_device(weight)
        scales = (weight.detach().float().abs().amax(1) / FULL).clamp(min=1e-12)
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch announces that these functions will move
            whole = torch.quantize_per_channel(weight.detach().float(), scales.double(), zeros, 0, torch.qint8)
        self.out_features, self.in_features = weight.shape
        self._packed = torch.ops.quantized.linear_prepack(whole, None)
        self._bias = None if bias is None else bias.detach().float().clone()
        # torch rounds all rows with one range; this extra row, and rows scaled to at most 1, make the range constant.
        self._range = torch.zeros(1, self.in_features)
        self._range[0, :2] = torch.tensor([1.0, -1.0])
        # Without VNNI, sums of two full products overflow 16 bits, so x is rounded to 7 bits.
        self._reduce_range = not has_vnni()

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out) fp32 products of (..., in) fp32 rows, without gradients."""
        rows = x if x.dim() == 2 and not x.requires_grad else x.detach().reshape(-1, self.in_features)
        if len(rows) <= ROWS_AT_ONCE:
            output = self._multiply(rows)
        else:
            output = rows.new_empty(len(rows), self.out_features)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                part = slice(first, first + ROWS_AT_ONCE)
                self._multiply(rows[part], out=output[part])
        return output if rows is x else output.view(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        peaks = rows.abs().amax(1, keepdim=True).clamp_(min=1e-12)
        product = torch.ops.quantized.linear_dynamic(
            torch.cat((self._range, rows / peaks)), self._packed, self._reduce_range
        )[1:]
        out = product if out is None else out  # in place, because the output of the head is large
        if self._bias is None:
            return torch.mul(product, peaks, out=out)
        return torch.addcmul(self._bias, product, peaks, out=out)


def _check_device(weight: Tensor) -> None:
    """Raise ValueError unless weights are on a CPU and this version of torch can quantise."""
    if weight.device.type != "cpu" or not hasattr(torch, "quantize_per_channel"):
        raise ValueError(
            f'dtype="int8" runs on the CPU with a torch that quantises; here are {weight.device} and torch '
            f'{torch.__version__}; use dtype="float32", or "bfloat16" on a GPU'
        )


def to_int8(model: nn.Module) -> None:
    """Replace a model's linear layers, including its head; embeddings and norms stay as they are.

    A head whose weights are also the embeddings gets its own copy of them. The layers of language models become
    `Int8Linear`, those of encoders `DynamicInt8Linear`.

    Raises:
        ValueError: for a model that is not on a CPU.
    """
    kind = Int8Linear if isinstance(model, GenerationMixin) else DynamicInt8Linear
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D | nn.Linear):
                weight = child.weight.t() if isinstance(child, Conv1D) else child.weight
                setattr(module, name, kind(weight, child.bias))


def is_int8(model: nn.Module) -> bool:
    """Return whether `to_int8` changed a model, which can then neither be trained nor saved."""
    return any(isinstance(module, Int8Linear | DynamicInt8Linear) for module in model.modules())
