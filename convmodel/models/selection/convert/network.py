"""The ConveRT network, which encodes subword ids of contexts and responses as unit vectors.

Source: arXiv:1911.03688. Default sizes are the paper's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE_BATCHES = 10_000
"""Number of batches during which the factor of the cosine in the loss grows; see `scale_at`."""


@dataclass(frozen=True)
class ConvertSizes:
    """The network's sizes.

    Args:
        vocab_size: number of subwords.
        buckets: number of hash buckets for characters outside of the vocabulary, with ids after those of the subwords.
        width: width of embeddings and blocks.
        projection: width of queries and keys.
        windows: for each block, the largest distance at which relative positions are distinguished.
        inner: width of the blocks' feed-forward layers.
        heads: number of attention heads of `Reduction`, whose result is `heads` times as wide as the blocks.
        layers: number of dense layers of each `Side`.
        encoding: width of the resulting vectors.
        positions: number of rows of the two position tables.
    """

    vocab_size: int = 31_476
    buckets: int = 1_000
    width: int = 512
    projection: int = 64
    windows: tuple[int, ...] = (3, 5, 48, 48, 48, 48)
    inner: int = 2_048
    heads: int = 2
    layers: int = 3
    encoding: int = 512
    positions: tuple[int, int] = (47, 11)


def quick_gelu(x: Tensor) -> Tensor:
    """Return the paper's approximation of GELU, x sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


POSITION_SPREAD = 0.1
"""Initial standard deviation of position embeddings; at 1 they would be two thirds of the first block's input."""

FULL = 127
"""The largest magnitude of a quantized value: signed 8-bit integers in a range that is symmetric around 0."""


class EightBitEmbedding(nn.Module):
    """An embedding table quantized to 8 bits within a learned range, during training too.

    Gradients pass through the rounding unchanged (straight-through estimator); values outside of the range contribute
    to the range's gradient. Source of the range's gradient: arXiv:1902.08153, eq. 3 and section 2.2.

    Args:
        rows: number of embeddings.
        width: width of an embedding.
        spread: initial standard deviation.
    """

    def __init__(self, rows: int, width: int, *, spread: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(spread * torch.randn(rows, width))
        self.range = nn.Parameter(self.weight.detach().abs().amax()[None])

    def forward(self, ids: Tensor) -> Tensor:
        """Return (..., width) embeddings of (...) ids."""
        steps, step = self.steps(functional.embedding(ids, self.weight))
        return steps * step

    def steps(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize values of the table: return the integer that each value is rounded to, and the step size."""
        # The paper scales the range's gradient down, because all values of the table contribute to it.
        gradient_scale = (self.weight.numel() * FULL) ** -0.5
        limit = _with_gradient(self.range, gradient=self.range * gradient_scale)
        step = limit.abs().clamp(min=1e-8) / FULL
        clamped = (weight / step).clamp(-FULL, FULL)
        return _with_gradient(clamped.round(), gradient=clamped), step


def _with_gradient(value: Tensor, *, gradient: Tensor) -> Tensor:
    """Return the values of one tensor with the gradients of another."""
    return value.detach() + (gradient - gradient.detach())


class Embeddings(nn.Module):
    """The sum of subword and position embeddings.

    There are two position tables, indexed by the position modulo their numbers of rows. With 47 and 11 rows they
    distinguish 47 x 11 positions.
    """

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        self.words = EightBitEmbedding(sizes.vocab_size + sizes.buckets, sizes.width)
        tables = (EightBitEmbedding(rows, sizes.width, spread=POSITION_SPREAD) for rows in sizes.positions)
        self.positions = nn.ModuleList(tables)

    def forward(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Return (B, T, D) embeddings of (B, T) ids; by default the position of a token is its column."""
        if positions is None:
            positions = torch.arange(ids.shape[-1], device=ids.device)
        embedded: Tensor = self.words(ids)
        for table in self.positions:
            assert isinstance(table, EightBitEmbedding)
            embedded = embedded + table(positions % len(table.weight))
        return embedded


class SelfAttention(nn.Module):
    """Single-head attention with a learned bias per relative position, up to a window."""

    def __init__(self, sizes: ConvertSizes, window: int) -> None:
        super().__init__()
        self.window = window
        self.query = nn.Linear(sizes.width, sizes.projection)
        self.key = nn.Linear(sizes.width, sizes.projection)
        self.value = nn.Linear(sizes.width, sizes.projection)
        self.out = nn.Linear(sizes.projection, sizes.width)
        self.bias = nn.Parameter(torch.zeros(2 * window + 1))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (B, T, D) attended states; padding, where the (B, T) mask is 0, is not attended to."""
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        distances = (positions[None] - positions[:, None]).clamp(-self.window, self.window) + self.window
        bias = self.bias[distances].masked_fill(~mask.bool()[:, None], -torch.inf)
        attended = functional.scaled_dot_product_attention(
            self.query(hidden), self.key(hidden), self.value(hidden), attn_mask=bias
        )
        result: Tensor = self.out(attended)
        return result


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each with a residual connection and a layer norm."""

    def __init__(self, sizes: ConvertSizes, window: int) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes, window)
        self.norm_attention = nn.LayerNorm(sizes.width)
        self.inner_in = nn.Linear(sizes.width, sizes.inner)
        self.inner_out = nn.Linear(sizes.inner, sizes.width)
        self.norm_inner = nn.LayerNorm(sizes.width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the (B, T, D) states after the block, for (B, T, D) states and a (B, T) mask."""
        hidden = self.norm_attention(hidden + self.attention(hidden, mask))
        result: Tensor = self.norm_inner(hidden + self.inner_out(quick_gelu(self.inner_in(hidden))))
        return result


class Reduction(nn.Module):
    """Multi-head attention over the tokens, summed over the tokens and divided by the square root of their number.

    The values are the hidden states themselves. With a projection of the values, the paper's sizes would not add up to
    its 37.5 million parameters.
    """

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        self.query = nn.Linear(sizes.width, sizes.heads * sizes.projection)
        self.key = nn.Linear(sizes.width, sizes.heads * sizes.projection)
        self.heads = sizes.heads

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (B, heads x D) for (B, T, D) states; padding is neither attended to nor summed."""
        query, key = (layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key))
        is_token = mask.bool()
        values = hidden[:, None].expand(-1, self.heads, -1, -1)
        attended = functional.scaled_dot_product_attention(query, key, values, attn_mask=is_token[:, None, None])
        summed = attended.masked_fill(~is_token[:, None, :, None], 0).sum(2)
        return summed.flatten(1) / is_token.sum(1, keepdim=True).to(hidden.dtype).sqrt()


class Side(nn.Module):
    """The last layers of either contexts or responses: residual dense layers with norms, then a projection."""

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        width = sizes.heads * sizes.width
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(sizes.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(sizes.layers))
        self.out = nn.Linear(width, sizes.encoding)

    def forward(self, reduced: Tensor) -> Tensor:
        """Return (B, encoding) unit vectors for the (B, heads x D) results of `Reduction`."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            reduced = norm(reduced + quick_gelu(layer(reduced)))
        return functional.normalize(self.out(reduced), dim=-1)


class ConvertNetwork(nn.Module):
    """Encodes contexts and responses, which share all layers except those of `Side`.

    With `extra_contexts`, earlier messages are an additional input, as in the paper's multi-context model.
    """

    def __init__(self, sizes: ConvertSizes = ConvertSizes(), *, extra_contexts: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = Embeddings(sizes)
        self.blocks = nn.ModuleList(Block(sizes, window) for window in sizes.windows)
        self.reduction = Reduction(sizes)
        names = ["context", "response", *(["extra", "both"] if extra_contexts else [])]
        self.sides = nn.ModuleDict({name: Side(sizes) for name in names})

    def reduced(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return (B, heads x D) states after the shared layers, for (B, T) ids and mask."""
        hidden = self.embeddings(ids).to(self.reduction.query.weight.dtype)  # the embeddings themselves stay in float32
        for block in self.blocks:
            hidden = block(hidden, mask)
        result: Tensor = self.reduction(hidden, mask)
        return result


def scale_at(batch: int, *, width: int = 512, batches: int = SCALE_BATCHES) -> float:
    """Return the factor of the cosine in the loss after `batch` batches of training.

    The factor grows linearly from 1 to the square root of `width`, the width of the vectors, over `batches` batches.
    """
    return 1 + (math.sqrt(width) - 1) * min(batch / batches, 1.0)
