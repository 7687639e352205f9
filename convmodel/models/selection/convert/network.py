"""Subword ids of contexts and responses in, unit vectors out: the network of ConveRT.

Source: arXiv:1911.03688. Sizes are the paper's where nothing else is given.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE_BATCHES = 10_000
"""Over which the factor of the cosine grows."""


@dataclass(frozen=True)
class ConvertSizes:
    """The network's sizes.

    Args:
        vocab_size: subwords.
        buckets: hashed buckets for what the vocabulary does not hold; their ids follow the subwords'.
        width: of embeddings and blocks.
        projection: of queries and keys.
        windows: for each block, how many places to each side relative positions are told apart.
        inner: of the blocks' feed-forward layers.
        heads: of the reduction; its result is `heads` times as wide as the blocks.
        layers: dense layers of each side.
        encoding: width of the vectors.
        positions: rows of the two tables of positions.
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
    """The paper's approximation: x sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


PLACES = 0.1
"""The spread of positions beside that of subwords: at 1 they would be two thirds of what the first block sees."""

FULL = 127
"""The largest of the whole numbers of 8 bits, on both sides of 0."""


class EightBitEmbedding(nn.Module):
    """A table whose numbers are read as 8 bits will keep them: whole steps within a range that is learned.

    Training rounds too, and gradients go straight through the rounding; what lies outside of the range moves the range.
    Source of the range's gradient: arXiv:1902.08153, eq. 3 and section 2.2.

    Args:
        rows, width: of the table.
        spread: standard deviation of the numbers at the beginning.
    """

    def __init__(self, rows: int, width: int, *, spread: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(spread * torch.randn(rows, width))
        self.range = nn.Parameter(self.weight.detach().abs().amax()[None])

    def forward(self, ids: Tensor) -> Tensor:
        """(...) in, (..., width) out."""
        steps, step = self.steps(functional.embedding(ids, self.weight))
        return steps * step

    def steps(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the table in; which whole step each of them is, and how wide a step is, out."""
        share = (self.weight.numel() * FULL) ** -0.5  # as the source has it: all numbers move the one range
        limit = _value(self.range, gradient=self.range * share)
        step = limit.abs().clamp(min=1e-8) / FULL
        within = (weight / step).clamp(-FULL, FULL)
        return _value(within.round(), gradient=within), step


def _value(exactly: Tensor, *, gradient: Tensor) -> Tensor:
    """One tensor's numbers with another one's gradients."""
    return exactly.detach() + (gradient - gradient.detach())


class Embeddings(nn.Module):
    """Subwords and places. Two tables of positions, indexed modulo their sizes, tell 47 x 11 places apart."""

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        self.words = EightBitEmbedding(sizes.vocab_size + sizes.buckets, sizes.width)
        tables = (EightBitEmbedding(rows, sizes.width, spread=PLACES) for rows in sizes.positions)
        self.positions = nn.ModuleList(tables)

    def forward(self, ids: Tensor, places: Tensor | None = None) -> Tensor:
        """(B, T) in, (B, T, D) out; `places` are those of the columns, (T,), when left out, or of each token."""
        if places is None:
            places = torch.arange(ids.shape[-1], device=ids.device)
        found: Tensor = self.words(ids)
        for table in self.positions:
            assert isinstance(table, EightBitEmbedding)
            found = found + table(places % len(table.weight))
        return found


class SelfAttention(nn.Module):
    """One head whose scores also depend on how far two tokens are apart, up to a window."""

    def __init__(self, sizes: ConvertSizes, window: int) -> None:
        super().__init__()
        self.window = window
        self.query = nn.Linear(sizes.width, sizes.projection)
        self.key = nn.Linear(sizes.width, sizes.projection)
        self.value = nn.Linear(sizes.width, sizes.projection)
        self.out = nn.Linear(sizes.projection, sizes.width)
        self.bias = nn.Parameter(torch.zeros(2 * window + 1))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) and a (B, T) mask in, (B, T, D) out. Padding is never attended to: columns are masked, not rows."""
        places = torch.arange(hidden.shape[1], device=hidden.device)
        apart = (places[None] - places[:, None]).clamp(-self.window, self.window) + self.window
        bias = self.bias[apart].masked_fill(~mask.bool()[:, None], -torch.inf)
        attended = functional.scaled_dot_product_attention(
            self.query(hidden), self.key(hidden), self.value(hidden), attn_mask=bias
        )
        found: Tensor = self.out(attended)
        return found


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each with a skip and a layer norm of its own."""

    def __init__(self, sizes: ConvertSizes, window: int) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes, window)
        self.norm_attention = nn.LayerNorm(sizes.width)
        self.inner_in = nn.Linear(sizes.width, sizes.inner)
        self.inner_out = nn.Linear(sizes.inner, sizes.width)
        self.norm_inner = nn.LayerNorm(sizes.width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) and a (B, T) mask in, (B, T, D) out."""
        hidden = self.norm_attention(hidden + self.attention(hidden, mask))
        found: Tensor = self.norm_inner(hidden + self.inner_out(quick_gelu(self.inner_in(hidden))))
        return found


class Reduction(nn.Module):
    """Several heads of attention over the tokens, summed over them and divided by the root of their number.

    The states are the values as they are: so the paper's sizes come to its 37.5 million parameters.
    """

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        self.query = nn.Linear(sizes.width, sizes.heads * sizes.projection)
        self.key = nn.Linear(sizes.width, sizes.heads * sizes.projection)
        self.heads = sizes.heads

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) and a (B, T) mask in, (B, heads x D) out; padding is neither attended to nor summed."""
        query, key = (layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key))
        there = mask.bool()
        values = hidden[:, None].expand(-1, self.heads, -1, -1)
        attended = functional.scaled_dot_product_attention(query, key, values, attn_mask=there[:, None, None])
        summed = attended.masked_fill(~there[:, None, :, None], 0).sum(2)
        return summed.flatten(1) / there.sum(1, keepdim=True).to(hidden.dtype).sqrt()


class Side(nn.Module):
    """What contexts or responses have of their own: dense layers with skips and norms, then a projection."""

    def __init__(self, sizes: ConvertSizes) -> None:
        super().__init__()
        width = sizes.heads * sizes.width
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(sizes.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(sizes.layers))
        self.out = nn.Linear(width, sizes.encoding)

    def forward(self, reduced: Tensor) -> Tensor:
        """(B, heads x D) in, (B, encoding) of length 1 out."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            reduced = norm(reduced + quick_gelu(layer(reduced)))
        return functional.normalize(self.out(reduced), dim=-1)


class ConvertNetwork(nn.Module):
    """Encodes contexts and responses; all but the last layers is shared.

    Args:
        sizes: the paper's when left out.
        extra_contexts: whether earlier messages are a second input, as in the multi-context model.
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
        """(B, T) ids and mask in, (B, heads x D) out: what the sides share."""
        hidden = self.embeddings(ids).to(self.reduction.query.weight.dtype)  # embeddings stay in fp32
        for block in self.blocks:
            hidden = block(hidden, mask)
        found: Tensor = self.reduction(hidden, mask)
        return found

    def encode_contexts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T) ids and mask in, (B, encoding) unit vectors out."""
        found: Tensor = self.sides["context"](self.reduced(ids, mask))
        return found

    def encode_responses(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The same of responses."""
        found: Tensor = self.sides["response"](self.reduced(ids, mask))
        return found

    def encode_extra(self, ids: Tensor, mask: Tensor, extra_ids: Tensor, extra_mask: Tensor) -> Tensor:
        """Contexts and their earlier messages in; (B, 3, encoding) out: context alone, extra alone, and both.

        Raises:
            ValueError: for a network without extra contexts.
        """
        if "extra" not in self.sides:
            raise ValueError("this network has no extra contexts; make it with extra_contexts=True")
        context, extra = self.reduced(ids, mask), self.reduced(extra_ids, extra_mask)
        inputs = {"context": context, "extra": extra, "both": (context + extra) / 2}
        return torch.stack([self.sides[name](reduced) for name, reduced in inputs.items()], 1)


def scale_at(batch: int, *, width: int = 512, batches: int = SCALE_BATCHES) -> float:
    """The factor of the cosine in the loss: it grows from 1 to the root of the width over the first batches."""
    return 1 + (math.sqrt(width) - 1) * min(batch / batches, 1.0)
