"""The cross-encoder, which reads context and candidate together and scores the pair."""

import os
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from convmodel.generation.int8 import is_int8, to_int8
from convmodel.models.selection.encoder import TokenEncoder
from convmodel.models.selection.encoder_selector import EncoderSelector
from convmodel.models.selection.inputs import Candidates, Contexts, Personas, checked_pools, context_ids
from convmodel.models.selection.joint_layers import (
    ContextStates,
    JointLayers,
    can_have_joint_layers,
    check_joint_layers,
    joint_scores,
)
from convmodel.models.selection.layout import EncoderBatch, EncoderInput
from convmodel.models.selection.prefix_sharing import can_share, shared_states
from convmodel.models.selection.scoring import Pooling, pool
from convmodel.tokens.text_tokenizer import TextTokenizer

PoolIds = Sequence[Sequence[int]]
"""The token ids of the candidates of one context."""

COMPARED_SCALE = 20.0
"""Factor of the cosine in the initial score of a head with `compare_pooled`."""

JOINT_LAYERS = 2
"""Default number of joint layers of a BERT whose vectors were trained to be compared by their cosine."""


class CrossNetwork(nn.Module):
    """A token encoder with a head that maps a pooled vector to a score.

    With `compare_pooled`, context and candidate are pooled separately, and the head's input is the elementwise product
    of the two normalized vectors instead of the pair's pooled vector. The initial score is a multiple of their cosine.
    `joint_layers` implies this; see `CrossEncoder`.
    """

    def __init__(
        self, encoder: TokenEncoder, pooling: Pooling, *, compare_pooled: bool = False, joint_layers: int = 0
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.compare_pooled = compare_pooled = compare_pooled or joint_layers > 0
        self.joint: JointLayers | None = None
        if joint_layers:
            check_joint_layers(joint_layers, encoder.hf_model)
            self.joint = JointLayers(joint_layers, encoder.hf_model.config.num_attention_heads)
        self.head = nn.Linear(encoder.width, 1)
        if compare_pooled:
            nn.init.constant_(self.head.weight, COMPARED_SCALE)
            nn.init.zeros_(self.head.bias)

    def forward(self, pairs: EncoderBatch) -> Tensor:
        """Return (B,) scores of B pairs."""
        hidden = self.encoder(pairs)
        if not self.compare_pooled:
            return cast(Tensor, self.head(pool(hidden, pairs.mask, self.pooling)))[:, 0]
        candidates = torch.arange(hidden.shape[1], device=hidden.device) >= pairs.begins[:, None]
        parts = (pool(hidden, pairs.mask & part, self.pooling) for part in (~candidates, candidates))
        return self._compare(*parts)

    def joint_scores(self, contexts: ContextStates, states: Tensor, mask: Tensor) -> Tensor:
        """Return (B, P) scores for the (B, P, T, D) states of P candidates for each of B contexts."""
        of_context = pool(contexts.states, contexts.mask, self.pooling)
        of_candidate = pool(states.flatten(0, 1), mask.flatten(0, 1), self.pooling).view(*mask.shape[:2], -1)
        return self._compare(of_context[:, None], of_candidate)

    def _compare(self, of_context: Tensor, of_candidate: Tensor) -> Tensor:
        product = functional.normalize(of_context, dim=-1) * functional.normalize(of_candidate, dim=-1)
        return cast(Tensor, self.head(product))[..., 0]


class CrossEncoder(EncoderSelector):
    """A selector that reads a candidate together with its context. Source: arXiv:1905.01969, section 4.3.

    A GPT-2, and a BERT with `joint_layers`, compute a context once for all its candidates; other encoders compute every
    pair separately.

    Args:
        encoder: the encoder of pairs.
        pooling: the way to compute the head's input from the hidden states of a pair; see `BiEncoder`.
        max_context, max_candidate, speaker_types: see `BiEncoder`.
        compare_pooled: whether the head compares the pooled vectors of context and candidate, each of which attends to
            the other, instead of scoring one vector of the pair. This learns several times faster when the encoder has
            not been trained on millions of pairs, because it starts as a bi-encoder. Every pair is then computed
            separately.
        joint_layers: number of last layers of a BERT in which the tokens of a candidate attend to those of the context.
            Before them context and candidate are computed separately, and the context never attends to a candidate. The
            head compares pooled vectors. 0 reads a pair as one sequence. `from_encoder` chooses 2 for a BERT whose
            vectors were trained to be compared by their cosine, such as most models of sentence-transformers, if
            neither `joint_layers` nor `compare_pooled` is given.

    Raises:
        ValueError: for pairs longer than the encoder's positions, for pooling "first" with a decoder, whose first
            token attends only to itself, or for joint layers of an encoder that cannot have as many.

    Example:
        >>> selector = CrossEncoder.from_encoder("gpt2")
        >>> selector.score([["Hello", "Hi, how are you?"]], ["Fine, thanks.", "At nine."]).shape
        torch.Size([1, 2])
    """

    kind = "cross-encoder"
    network: CrossNetwork

    def __init__(
        self,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        pooling: Pooling | None = None,
        max_context: int = 360,
        max_candidate: int = 72,
        compare_pooled: bool = False,
        joint_layers: int = 0,
        speaker_types: bool = True,
    ) -> None:
        pooling = pooling or encoder.default_pooling
        if encoder.causal and pooling == "first":
            raise ValueError("pooling='first': a decoder's first token sees no other; allowed are last and mean")
        if max_context + max_candidate > encoder.positions:
            raise ValueError(
                f"max_context={max_context} and max_candidate={max_candidate} together; "
                f"this encoder reads {encoder.positions} tokens"
            )
        network = CrossNetwork(encoder, pooling, compare_pooled=compare_pooled, joint_layers=joint_layers)
        lengths = {"max_context": max_context, "max_candidate": max_candidate}
        super().__init__(encoder, tokenizer, network=network, pooling=pooling, speaker_types=speaker_types, **lengths)

    @classmethod
    def _supported(cls, known: dict[str, Any], encoder: TokenEncoder) -> dict[str, Any]:
        supported = {name: value for name, value in known.items() if name in ("pooling", "speaker_types")}
        if known.get("cosine_scale") is not None and can_have_joint_layers(encoder.hf_model):
            supported["joint_layers"] = min(JOINT_LAYERS, encoder.hf_model.config.num_hidden_layers)
        return supported

    @classmethod
    def _with_defaults(
        cls, source: str | os.PathLike[str], encoder: TokenEncoder, tokenizer: TextTokenizer, options: dict[str, Any]
    ) -> dict[str, Any]:
        known = super()._with_defaults(source, encoder, tokenizer, options)
        if "compare_pooled" in options and "joint_layers" not in options:
            known.pop("joint_layers", None)
        return known

    def options(self) -> dict[str, Any]:
        joint = self.network.joint
        own = {"compare_pooled": self.network.compare_pooled}
        return super().options() | own | ({"joint_layers": len(joint.gates)} if joint is not None else {})

    @property
    def shares_contexts(self) -> bool:
        """Whether a GPT-2 computes a context once for all its candidates."""
        return self.pooling == "last" and not self.network.compare_pooled and can_share(self.encoder.hf_model)

    def score_rows(
        self, contexts: Sequence[EncoderInput], candidates: Sequence[PoolIds], *, recompute: bool = False
    ) -> Tensor:
        """Return (B, C) scores, with gradients, of B contexts with C candidates each.

        Args:
            contexts: results of `context_row`.
            candidates: for each context, the token ids of its candidates.
            recompute: whether to save memory in the backward pass at the cost of time; see `encoder.encode_in_batches`.
        """
        if self.network.joint is not None:
            return self._joint_scores(contexts, candidates, self.network.joint, recompute=recompute)
        if self.shares_contexts:
            empty = EncoderInput([], [])
            distinct = {id(texts): [self.layout.pair(empty, ids) for ids in texts] for texts in candidates}
            pools = [distinct[id(texts)] for texts in candidates]
            states = shared_states(cast(Any, self.encoder.hf_model), contexts, pools, recompute=recompute)
            return cast(Tensor, self.network.head(states))[..., 0]
        pairs = [
            self.layout.pair(context, ids) for context, texts in zip(contexts, candidates, strict=True) for ids in texts
        ]
        return self.score_pairs(pairs, recompute=recompute).view(len(contexts), -1)

    def _joint_scores(
        self, contexts: Sequence[EncoderInput], candidates: Sequence[PoolIds], joint: JointLayers, *, recompute: bool
    ) -> Tensor:
        indices: dict[tuple[int, ...], int] = {}
        pools = [[indices.setdefault(tuple(ids), len(indices)) for ids in texts] for texts in candidates]
        return joint_scores(
            cast(BertModel, self.encoder.hf_model),
            joint,
            self.network.joint_scores,
            contexts,
            [self.layout.candidate(ids) for ids in indices],
            torch.tensor(pools),
            pad_token_id=self.tokenizer.sep_token_id,
            recompute=recompute,
        )

    def score_pairs(self, pairs: Sequence[EncoderInput], *, recompute: bool = False) -> Tensor:
        """Return (N,) scores of N pairs laid out by `RowLayout.pair`; every pair is computed separately.

        Not for joint layers, which do not read a pair as one sequence.
        """
        [scores] = self._encode_batches(pairs, lambda padded: (self.network(padded),), recompute=recompute)
        return scores

    @torch.inference_mode()
    def score(self, contexts: Contexts, candidates: Candidates, *, personas: Personas = None) -> Tensor:
        self.network.eval()
        pools = checked_pools(contexts, candidates)
        rows = [self.context_row(turns, persona) for turns, persona in context_ids(self.tokenizer, contexts, personas)]
        if not rows:
            return torch.empty(0, len(pools[0]))
        texts = list(dict.fromkeys(text for pool in pools for text in pool))
        ids = dict(zip(texts, self.tokenizer.encode_many(texts), strict=True))
        pool_ids = [[ids[text] for text in pool] for pool in pools]
        return self.score_rows(rows, pool_ids if len(pool_ids) == len(rows) else pool_ids * len(rows)).float().cpu()

    # int8

    def to_int8(self) -> None:
        self._saved_fingerprint = self.fingerprint()
        self._int8 = True
        to_int8(self.encoder.hf_model)

    def weights(self) -> dict[str, Tensor]:
        """See `Selector.weights`; raise a ValueError for a model in int8, whose original weights are lost."""
        if is_int8(self.network):
            raise ValueError('a model in int8 cannot be saved; load it with dtype="float32" and save that')
        return super().weights()
