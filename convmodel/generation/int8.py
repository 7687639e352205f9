"""Quantise the linear layers of a model to int8, which reads a quarter of the bytes of fp32 weights, on a CPU."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from convmodel.generation.cpu import has_vnni

FULL = 127
"""Largest quantised weight."""

ROWS_AT_ONCE = 256
"""Rows that fit, with their intermediate results, in a processor's cache."""


class Int8Linear(nn.Module):
    """Linear layer `x W' + b` with int8 weights, one scale per output, and each row of x rounded to 8 bits.

    Rows are rounded separately, so that a row's result is the same, bit for bit, alone and beside any others. The
    weights are (out, in), the bias is (out,).

    With `precise`, x is the sum of two rounded rows, of which the second holds the remainder of the first, so that it
    has twice the bits: a few large values in a row then leave the small ones their digits.

    Raises:
        ValueError: when this version of torch, or the processor, has no int8 products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, precise: bool = False) -> None:
        super().__init__()
        if weight.device.type != "cpu" or not hasattr(torch, "quantize_per_channel"):
            raise ValueError(
                f'dtype="int8" runs on the CPU with a torch that quantises; here are {weight.device} and torch '
                f'{torch.__version__}; use dtype="float32", or "bfloat16" on a GPU'
            )
        scales = (weight.detach().float().abs().amax(1) / FULL).clamp(min=1e-12)
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch announces that these functions will move
            whole = torch.quantize_per_channel(weight.detach().float(), scales.double(), zeros, 0, torch.qint8)
        self._fill(whole, None if bias is None else bias.detach().float().clone(), precise=precise)

    def _fill(self, weight: Tensor, bias: Tensor | None, *, precise: bool) -> None:
        """Keep quantised weights and a bias."""
        self._precise = precise
        self.out_features, self.in_features = weight.shape
        self._packed = torch.ops.quantized.linear_prepack(weight, None)
        self._bias = bias
        # torch rounds all rows with one range; this extra row, and rows scaled to at most 1, make the range constant.
        self._range = torch.zeros(1, self.in_features)
        self._range[0, :2] = torch.tensor([1.0, -1.0])
        # Without VNNI, sums of two full products overflow 16 bits, so x is rounded to 7 bits.
        self._reduce_range = not has_vnni()

    @classmethod
    def joined(cls, layers: Sequence["Int8Linear"]) -> "Int8Linear":
        """Return a layer with the outputs of several layers, which all have biases, or none has."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            weights = [torch.ops.quantized.linear_unpack(layer._packed)[0] for layer in layers]
            whole = torch._make_per_channel_quantized_tensor(
                torch.cat([weight.int_repr() for weight in weights]),
                torch.cat([weight.q_per_channel_scales() for weight in weights]),
                torch.cat([weight.q_per_channel_zero_points() for weight in weights]),
                0,
            )
        biases = [layer._bias for layer in layers if layer._bias is not None]
        joint = cls.__new__(cls)
        nn.Module.__init__(joint)
        joint._fill(whole, torch.cat(biases) if biases else None, precise=layers[0]._precise)
        return joint

    def quantized_weight(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the int8 weights (out, in), their fp32 scales (out,) and the bias."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            weight = torch.ops.quantized.linear_unpack(self._packed)[0]
        return weight.int_repr(), weight.q_per_channel_scales().float(), self._bias

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
        scaled = rows / peaks
        parts = self._split(scaled) if self._precise else (scaled,)
        product = torch.ops.quantized.linear_dynamic(
            torch.cat((self._range, *parts)), self._packed, self._reduce_range
        )[1:]
        if self._precise:
            product = torch.add(product[: len(rows)], product[len(rows) :], alpha=1 / self._steps)
        out = product if out is None else out  # in place, because the output of the head is large
        if self._bias is None:
            return torch.mul(product, peaks, out=out)
        return torch.addcmul(self._bias, product, peaks, out=out)

    @property
    def _steps(self) -> int:
        """Number of steps from -1 to 1 to which numbers are rounded."""
        return 127 if self._reduce_range else 255

    def _split(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows on the steps nearest to rows from -1 to 1, and the remainders times the number of steps."""
        largest = self._steps // 2
        high = (scaled * (self._steps / 2)).round_().clamp_(-largest, largest).mul_(2 / self._steps)
        return high, (scaled - high).mul_(self._steps)


def to_int8(model: nn.Module) -> None:
    """Replace a model's linear layers, including its head; embeddings and layer norms stay as they are.

    A head whose weights are also the embeddings gets its own copy of them. Source of the scheme: per-channel weights
    and dynamically quantised activations, as in torch's `linear_dynamic`. The layers of language models other than
    GPT-2 are precise, because few activations of theirs are up to forty times as large as the others: per-row int8
    alone raises SmolLM2's perplexity by 4 to 6 %, two rows by less than 0.1 %.

    Raises:
        ValueError: see `Int8Linear`.
    """
    precise = isinstance(model, GenerationMixin) and not isinstance(model, GPT2LMHeadModel)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D | nn.Linear):
                weight = child.weight.t() if isinstance(child, Conv1D) else child.weight
                setattr(module, name, Int8Linear(weight, child.bias, precise=precise))


def is_int8(model: nn.Module) -> bool:
    """Return whether `to_int8` changed a model, which can then neither be trained nor saved."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
