"""The ConveRT selector: layout of contexts and candidates, encoding, training loss, and saving embeddings in 8 bits."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.convert.inference import PackedNetwork
from convmodel.models.selection.convert.network import ConvertNetwork, ConvertSizes, EightBitEmbedding, scale_at
from convmodel.models.selection.convert.tokenizer import ConvertTokenizer
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.encoder import encode_in_batches
from convmodel.models.selection.layout import EncoderInput
from convmodel.models.selection.losses import in_batch_loss
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.models.selection.selector_files import WEIGHTS

MAX_TOKENS = 60
"""Largest number of tokens of a text, as in the paper."""

ROWS = 512
"""Number of texts for which the layers of a `Side` are computed at once."""


@dataclass(frozen=True, slots=True)
class ConvertContext:
    """The token ids of a laid-out context.

    Args:
        newest: ids of the newest message. Without extra contexts, the persona precedes it.
        extra: ids of the extra contexts: the persona, then earlier messages, newest first.
    """

    newest: list[int]
    extra: list[int]

    def __len__(self) -> int:
        return len(self.newest) + len(self.extra)


class Convert(DualEncoderSelector[ConvertContext, list[int]]):
    """A selector whose scores are cosines of context and candidate vectors. Source: arXiv:1911.03688.

    With extra contexts, the context vector is the normalized mean of three vectors: of the newest message, of the
    earlier messages, and of both. The paper trains these three and does not specify how to combine them afterwards.

    Args:
        network: the ConveRT network, which reads ids of `tokenizer`.
        tokenizer: the tokenizer.
        extra_contexts: number of earlier messages that are read in addition to the newest one; 10 in the paper.
        max_tokens: largest number of tokens of the newest message, of all extra contexts together, and of a candidate.

    Raises:
        ValueError: when the network and the other arguments do not match.

    Example:
        >>> selector = Convert.untrained(texts, extra_contexts=10)
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "convert"
    network: ConvertNetwork
    tokenizer_class = ConvertTokenizer

    def __init__(
        self,
        network: ConvertNetwork,
        tokenizer: ConvertTokenizer,
        *,
        extra_contexts: int = 0,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        super().__init__(network, tokenizer)
        rows = len(network.embeddings.words.weight)
        if extra_contexts < 0 or max_tokens < 2:
            raise ValueError(f"extra_contexts={extra_contexts}, max_tokens={max_tokens}; at least 0 and 2 are needed")
        if bool(extra_contexts) != ("extra" in network.sides):
            what = "without" if extra_contexts else "with"
            raise ValueError(f"extra_contexts={extra_contexts}, but the network was made {what} them")
        if len(tokenizer) != rows:
            raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, and the network rows for {rows}")
        self.extra_contexts = extra_contexts
        self.max_tokens = max_tokens
        self._packed: PackedNetwork | None = None

    @classmethod
    def untrained(
        cls,
        source: ConvertTokenizer | Iterable[str],
        sizes: ConvertSizes | None = None,
        *,
        extra_contexts: int = 0,
        max_tokens: int = MAX_TOKENS,
    ) -> Self:
        """Create a selector with new weights.

        Args:
            source: a tokenizer, or the texts to learn one from; read once.
            sizes: sizes of the network, by default the paper's. For a learned tokenizer, `vocab_size` is the largest
                number of subwords and `buckets` the number of buckets; a given tokenizer replaces both.
            extra_contexts, max_tokens: see the class.
        """
        sizes = sizes or ConvertSizes()
        if not isinstance(source, ConvertTokenizer):
            source = ConvertTokenizer.learn(source, sizes.vocab_size, buckets=sizes.buckets)
        sizes = replace(sizes, vocab_size=len(source) - source.buckets, buckets=source.buckets)
        network = ConvertNetwork(sizes, extra_contexts=extra_contexts > 0)
        return cls(network, source, extra_contexts=extra_contexts, max_tokens=max_tokens)

    @classmethod
    def build(cls, tokenizer: ConvertTokenizer, options: dict[str, Any]) -> Self:  # type: ignore[override]
        saved = options["sizes"].items()  # JSON has lists in place of tuples
        sizes = ConvertSizes(**{name: cast(Any, tuple(v) if isinstance(v, list) else v) for name, v in saved})
        others = {name: value for name, value in options.items() if name != "sizes"}
        return cls.untrained(tokenizer, sizes, **others)

    def options(self) -> dict[str, Any]:
        sizes = asdict(self.network.sizes)
        return {"sizes": sizes, "extra_contexts": self.extra_contexts, "max_tokens": self.max_tokens}

    # Layout

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> ConvertContext:
        """See `DualEncoderSelector.context_row`.

        The newest message is truncated from the left. The persona comes first among the extra contexts, which are
        truncated from the right. Without extra contexts the persona precedes the newest message and takes at most half
        of `max_tokens` from it.
        """
        persona_ids = list(chain.from_iterable(persona))
        newest = list(turns[-1])
        if self.extra_contexts:
            earlier = turns[-1 - self.extra_contexts : -1]
            extra = [*persona_ids, *chain.from_iterable(reversed(earlier))]
            return ConvertContext(newest[-self.max_tokens :], extra[: self.max_tokens])
        persona_ids = persona_ids[: max(self.max_tokens - len(newest), self.max_tokens // 2)]
        return ConvertContext([*persona_ids, *newest[len(persona_ids) - self.max_tokens :]], [])

    def candidate_row(self, ids: Sequence[int]) -> list[int]:
        """See `DualEncoderSelector.candidate_row`; a candidate is truncated from the right."""
        return list(ids[: self.max_tokens])

    # Encoding

    def encode_context_rows(self, rows: Sequence[ConvertContext], *, recompute: bool = False) -> EncodedContexts:
        """See `DualEncoderSelector.encode_context_rows`; returns (B, 1, D) unit vectors."""
        vectors, mask = self.context_vectors(rows, recompute=recompute)
        combined = functional.normalize((vectors * mask[..., None]).sum(1), dim=-1)[:, None]
        return EncodedContexts(combined, torch.ones_like(mask[:, :1]))

    def encode_candidate_rows(self, rows: Sequence[list[int]], *, recompute: bool = False) -> Tensor:
        """See `DualEncoderSelector.encode_candidate_rows`; returns (C, D) unit vectors."""
        return self._project("response", self._reduced(rows, recompute=recompute))

    def training_loss(
        self,
        vectors: Tensor,
        mask: Tensor,
        candidates: Tensor,
        responses: Tensor,
        *,
        batch: int,
        label_smoothing: float = 0.2,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Return the `in_batch_loss` of B contexts and their responses.

        With extra contexts, the loss is the sum of three losses, one for each kind of context vector (see the class).
        The last two do not count contexts without extra contexts.

        Args:
            vectors, mask: result of `context_vectors`.
            candidates: (C, D) unit vectors, C >= B; the first B are the responses.
            responses: (C,) ids of the candidates' texts, see `in_batch_loss`.
            batch: number of batches trained so far, which determines the factor of the cosine; see `scale_at`.
            label_smoothing: see `in_batch_loss`.
            counts: (M,) number by which the sum over contexts of each of the M losses is divided; None for the number
                of contexts that have the vector.
        """
        scale = scale_at(batch, width=self.network.sizes.encoding)
        losses = [
            in_batch_loss(
                scale * contexts @ candidates.T,
                responses,
                label_smoothing=label_smoothing,
                counted=mask[:, index],
                count=None if counts is None else counts[index],
            )
            for index, contexts in enumerate(vectors.unbind(1))
        ]
        return torch.stack(losses).sum()

    def context_vectors(self, rows: Sequence[ConvertContext], *, recompute: bool = False) -> tuple[Tensor, Tensor]:
        """Return (B, M, D) unit vectors and the (B, M) mask of valid ones, with gradients.

        M is 3, for the newest message, the extra contexts, and both; without extra contexts M is 1. `recompute` is
        described at `encoder.encode_in_batches`.
        """
        earlier = [row.extra for row in rows if row.extra]
        reduced = self._reduced([*(row.newest for row in rows), *earlier], recompute=recompute)
        newest = reduced[: len(rows)]
        mask = torch.ones(len(rows), 3, dtype=torch.bool, device=reduced.device)
        vectors = self._project("context", newest)
        if not self.extra_contexts:
            return vectors[:, None], mask[:, :1]
        mask[:, 1:] = torch.tensor([bool(row.extra) for row in rows], device=reduced.device)[:, None]
        extra = torch.zeros_like(newest).index_put((mask[:, 1],), reduced[len(rows) :])
        others = [self._project("extra", extra), self._project("both", (newest + extra) / 2)]
        return torch.stack([vectors, *others], 1), mask

    def _project(self, side: str, reduced: Tensor) -> Tensor:
        """Apply the layers of a `Side` to (B, heads x D) states, and return (B, D) unit vectors."""
        return torch.cat([self.network.sides[side](part) for part in reduced.split(ROWS)])

    def _reduced(self, rows: Sequence[list[int]], *, recompute: bool) -> Tensor:
        """Return (B, heads x D) results of `Reduction`; on a CPU without gradients, `PackedNetwork` computes them."""
        if self.device.type == "cpu" and not torch.is_grad_enabled():
            if self._packed is None or not self._packed.is_current(self.network):
                self._packed = PackedNetwork(self.network, int8=self._int8)
            return self._packed.reduced(rows)
        [reduced] = encode_in_batches(
            [EncoderInput(ids, [0] * len(ids)) for ids in rows],
            lambda padded: (self.network.reduced(padded.ids, padded.mask),),
            pad_token_id=self.tokenizer.sep_token_id,
            device=self.device,
            recompute=recompute,
        )
        return reduced

    # Device, number type, saving and loading

    def _number_type(self) -> torch.dtype:
        return self.network.reduction.query.weight.dtype

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Selector.place`. Embeddings stay in float32, which represents the saved 8-bit values exactly."""
        for name, child in self.network.named_children():
            child.to(device, torch.float32 if name == "embeddings" else dtype)
        self.network.eval()

    def to_int8(self) -> None:
        """Compute the products of the blocks in int8 where no gradients are needed; see `Selector.to_int8`.

        The weights stay in float32: the model can be trained and saved, and keeps its fingerprint. Cosines change by
        less than 0.01.
        """
        if self.device.type != "cpu":
            raise ValueError(f'dtype="int8" runs on the CPU; on {self.device.type!r} use "bfloat16" or "float32"')
        self._int8 = True
        self._packed = None

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors to save: embeddings in int8, their ranges in float32, all others in float16."""
        weights = {name: tensor.half() for name, tensor in super().weights().items()}
        for name, table in self._tables():
            weights[f"{name}.weight"] = table.steps(table.weight.detach())[0].detach().to("cpu", torch.int8)
            weights[f"{name}.range"] = table.range.detach().cpu().float()
        return weights

    def load_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        for name, table in self._tables():
            steps = weights.get(f"{name}.weight")
            limit = weights.get(f"{name}.range")
            if steps is None or limit is None or steps.dtype != torch.int8:
                raise ValueError(
                    f"{folder}: {WEIGHTS} does not hold {name} in 8 bits; give a folder written by save_pretrained"
                )
            with torch.no_grad():
                table.range.copy_(limit)
                step = table.steps(table.weight[:0])[1]
                weights = weights | {f"{name}.weight": steps.float() * step}
        super().load_weights(weights, folder)

    def _tables(self) -> list[tuple[str, EightBitEmbedding]]:
        return [(name, table) for name, table in self.network.named_modules() if isinstance(table, EightBitEmbedding)]
