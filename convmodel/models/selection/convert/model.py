"""Contexts and candidates in, cosines of their vectors out: ConveRT, from its layout of texts to what it saves."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.convert.inference import Packed, is_current
from convmodel.models.selection.convert.network import ConvertNetwork, ConvertSizes, EightBitEmbedding, scale_at
from convmodel.models.selection.convert.tokenizer import ConvertTokenizer
from convmodel.models.selection.dual_encoder import DualEncoderSelector, EncodedContexts
from convmodel.models.selection.encoder import encode_in_batches
from convmodel.models.selection.layout import EncoderInput
from convmodel.models.selection.losses import in_batch_loss
from convmodel.models.selection.registry import WEIGHTS

MAX_TOKENS = 60
"""Of a text, as in the paper."""


ROWS = 512
"""Texts whose last layers are computed at once."""


@dataclass(frozen=True, slots=True)
class ConvertContext:
    """A laid-out context.

    Args:
        newest: ids of the newest message, and of the persona where there are no extra contexts.
        extra: ids of the persona and of the messages before, newest first; none where there are none.
    """

    newest: list[int]
    extra: list[int]

    def __len__(self) -> int:
        return len(self.newest) + len(self.extra)


class Convert(DualEncoderSelector[ConvertContext, list[int]]):
    """Compares a unit vector of the context with one of the candidate: scores are cosines. Source: arXiv:1911.03688.

    With extra contexts, the vector is the mean, brought to length 1, of three: of the newest message, of what came
    before it, and of both. The paper trains all three so, and does not say how they are joined afterwards.

    Args:
        network: reads ids of `tokenizer`.
        tokenizer: of all that is read.
        extra_contexts: how many earlier messages are read beside the newest one; 10 in the paper, 0 for none.
        max_tokens: of a message, of the extra contexts together, and of a candidate, at most.

    Raises:
        ValueError: where the network and the options do not fit.

    Example:
        >>> selector = Convert.from_scratch(texts, extra_contexts=10)
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "convert"
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
            raise ValueError(f"extra_contexts={extra_contexts}, but the network was made for the other case")
        if len(tokenizer) != rows:
            raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, and the network rows for {rows}")
        self.extra_contexts, self.max_tokens = extra_contexts, max_tokens
        self._packed: Packed | None = None

    @classmethod
    def from_scratch(
        cls,
        source: ConvertTokenizer | Iterable[str],
        sizes: ConvertSizes | None = None,
        *,
        extra_contexts: int = 0,
        max_tokens: int = MAX_TOKENS,
    ) -> Self:
        """Makes one with new weights.

        Args:
            source: a tokenizer, or the texts to learn one from; read once.
            sizes: of the network; the paper's when left out. Those of the vocabulary are what is learned at most, or
                those of the tokenizer.
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
        """See `Selector.build`."""
        lists = options["sizes"].items()  # JSON knows no tuples
        sizes = ConvertSizes(**{name: cast(Any, tuple(v) if isinstance(v, list) else v) for name, v in lists})
        rest = {name: value for name, value in options.items() if name != "sizes"}
        return cls.from_scratch(tokenizer, sizes, **rest)

    def options(self) -> dict[str, Any]:
        """See `Selector.options`."""
        return {
            "sizes": asdict(self.convert.sizes),
            "extra_contexts": self.extra_contexts,
            "max_tokens": self.max_tokens,
        }

    @property
    def convert(self) -> ConvertNetwork:
        """The network as what it is."""
        return cast(ConvertNetwork, self.network)

    # Layout

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> ConvertContext:
        """See `DualEncoderSelector.context_row`.

        The newest message keeps its end. The persona stands first among the extra contexts, whose end goes. Where
        there are none it stands before the message, of which at least half of `max_tokens` stay.
        """
        told, newest = list(chain.from_iterable(persona)), list(turns[-1])
        if self.extra_contexts:
            earlier = turns[-1 - self.extra_contexts : -1]
            extra = [*told, *chain.from_iterable(reversed(earlier))]
            return ConvertContext(newest[-self.max_tokens :], extra[: self.max_tokens])
        told = told[: max(self.max_tokens - len(newest), self.max_tokens // 2)]
        return ConvertContext([*told, *newest[len(told) - self.max_tokens :]], [])

    def candidate_row(self, ids: Sequence[int]) -> list[int]:
        """See `DualEncoderSelector.candidate_row`; what is too long loses its end."""
        return list(ids[: self.max_tokens])

    # Encoding

    def encode_context_rows(self, rows: Sequence[ConvertContext], *, recompute: bool = False) -> EncodedContexts:
        """See `DualEncoderSelector.encode_context_rows`; (B, 1, D) of length 1."""
        vectors, found = self._three(rows, recompute=recompute)
        joined = functional.normalize((vectors * found[..., None]).sum(1), dim=-1)[:, None]
        return EncodedContexts(joined, torch.ones_like(found[:, :1]))

    def encode_candidate_rows(self, rows: Sequence[list[int]], *, recompute: bool = False) -> Tensor:
        """See `DualEncoderSelector.encode_candidate_rows`; (C, D) of length 1."""
        return self._side("response", self._reduced(rows, recompute=recompute))

    def training_loss(
        self,
        context_rows: Sequence[ConvertContext],
        candidate_rows: Sequence[list[int]],
        responses: Tensor,
        *,
        batch: int,
        label_smoothing: float = 0.2,
        recompute: bool = False,
    ) -> Tensor:
        """The loss of contexts and their responses against each other's.

        Args:
            context_rows, candidate_rows: B each.
            responses: (B,) numbers that are equal where the texts are.
            batch: how many batches there were before, from which the factor of the cosine comes.
            label_smoothing: see `in_batch_loss`.
            recompute: see `encoder.encode_in_batches`.

        Returns:
            () in nats; with extra contexts the sum over the three vectors, of the contexts that have them.
        """
        vectors, found = self._three(context_rows, recompute=recompute)
        candidates = self.encode_candidate_rows(candidate_rows, recompute=recompute)
        scale = scale_at(batch, width=self.convert.sizes.encoding)
        losses = [
            in_batch_loss(scale * each @ candidates.T, responses, label_smoothing=label_smoothing, counted=there)
            for each, there in zip(vectors.unbind(1), found.unbind(1), strict=True)
        ]
        return torch.stack(losses).sum()

    def _three(self, rows: Sequence[ConvertContext], *, recompute: bool) -> tuple[Tensor, Tensor]:
        """(B, M, D) unit vectors, of the newest messages, what came before and both; (B, M) which are there."""
        earlier = [row.extra for row in rows if row.extra]
        reduced = self._reduced([*(row.newest for row in rows), *earlier], recompute=recompute)
        newest, found = reduced[: len(rows)], torch.ones(len(rows), 3, dtype=torch.bool, device=reduced.device)
        vectors = self._side("context", newest)
        if not self.extra_contexts:
            return vectors[:, None], found[:, :1]
        found[:, 1:] = torch.tensor([bool(row.extra) for row in rows], device=reduced.device)[:, None]
        extra = torch.zeros_like(newest).index_put((found[:, 1],), reduced[len(rows) :])
        others = {"extra": extra, "both": (newest + extra) / 2}
        return torch.stack([vectors, *(self._side(name, each) for name, each in others.items())], 1), found

    def _side(self, name: str, reduced: Tensor) -> Tensor:
        """(B, heads x D) in, (B, D) of length 1 out."""
        return torch.cat([self.convert.sides[name](part) for part in reduced.split(ROWS)])

    def _reduced(self, rows: Sequence[list[int]], *, recompute: bool) -> Tensor:
        """(B, heads x D): by the quick way where no gradients are asked for."""
        if self.device.type == "cpu" and not torch.is_grad_enabled():
            if self._packed is None or not is_current(self._packed, self.convert):
                self._packed = Packed(self.convert, int8=self._int8)
            return self._packed.reduced(rows)
        laid_out = [EncoderInput(ids, [0] * len(ids)) for ids in rows]
        return encode_in_batches(
            laid_out,
            lambda padded: (self.convert.reduced(padded.ids, padded.mask),),
            pad_token_id=self.tokenizer.sep_token_id,
            device=self.device,
            recompute=recompute,
        )[0]

    # Where it is, and how it is kept

    def _number_type(self) -> torch.dtype:
        return self.convert.reduction.query.weight.dtype

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Selector.place`. Embeddings stay in fp32, which 8 bits are read as exactly."""
        for name, part in self.network.named_children():
            part.to(device, torch.float32 if name == "embeddings" else dtype)
        self.network.eval()

    def to_int8(self) -> None:
        """Makes the products of its blocks, where no gradients are asked for, those of whole numbers, on a CPU.

        The weights are still there: it can be trained and saved, and has the fingerprint that it had. Cosines differ
        by less than 0.01.

        Raises:
            ValueError: on another device.
        """
        if self.device.type != "cpu":
            raise ValueError(f'dtype="int8" runs on the CPU; on {self.device.type!r} use "bfloat16" or "float32"')
        self._int8, self._packed = True, None

    def weights(self) -> dict[str, Tensor]:
        """What is saved: embeddings in 8 bits with their ranges in 32, everything else in 16."""
        found = {name: tensor.half() for name, tensor in super().weights().items()}
        for name, table in self._tables():
            found[f"{name}.weight"] = table.steps(table.weight.detach())[0].detach().to("cpu", torch.int8)
            found[f"{name}.range"] = table.range.detach().cpu().float()
        return found

    def load_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        """See `Selector.load_weights`."""
        for name, table in self._tables():
            steps, limit = weights.get(f"{name}.weight"), weights.get(f"{name}.range")
            if steps is None or limit is None or steps.dtype != torch.int8:
                raise ValueError(f"{folder}: {WEIGHTS} does not hold {name} in 8 bits; give what save_pretrained wrote")
            with torch.no_grad():
                table.range.copy_(limit)
                step = table.steps(table.weight[:0])[1]
                weights = weights | {f"{name}.weight": steps.float() * step}
        super().load_weights(weights, folder)

    def _tables(self) -> list[tuple[str, EightBitEmbedding]]:
        modules = self.network.named_modules()
        return [(name, module) for name, module in modules if isinstance(module, EightBitEmbedding)]
