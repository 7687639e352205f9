"""Joint layers: a BERT computes a context once for all its candidates, which attend to it in the last layers.

Contexts and candidates pass the first layers separately, as in a bi-encoder. In the last K layers, the tokens of a
candidate attend to those of the context too; the tokens of the context never attend to a candidate. Sources: DeFormer,
arXiv:2005.00697 (separate first layers); UniLM, arXiv:1905.03197, "sequence-to-sequence" (the attention mask).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import BertModel, PreTrainedModel

from convmodel.models.selection.encoder import TOKENS_PER_CHUNK, TOKENS_PER_CPU_CHUNK, encode_in_batches
from convmodel.models.selection.layout import EncoderBatch, EncoderInput, pad_rows
from convmodel.tokens.batching import batches_by_length

CANDIDATES_PER_GROUP = 8
"""Number of candidates of each context that are computed at once. They have similar lengths, so that there is little
padding."""

INITIAL_GATE = -3.0
"""Initial addend of the attention scores from candidate to context, which makes their weights small."""


def can_have_joint_layers(hf_model: PreTrainedModel) -> bool:
    """Return whether a model is a BERT encoder; models derived from BERT have other layers or positions."""
    return type(hf_model) is BertModel and not hf_model.config.is_decoder


def check_joint_layers(joint_layers: int, hf_model: PreTrainedModel) -> None:
    """Raise ValueError unless the model is a BERT encoder of at least `joint_layers` layers."""
    config = hf_model.config
    if not can_have_joint_layers(hf_model):
        raise ValueError(
            f"joint_layers={joint_layers}: only encoders of the type 'bert' have them, and this one is a "
            f"{config.model_type!r}; give joint_layers: 0"
        )
    if not 1 <= joint_layers <= config.num_hidden_layers:
        raise ValueError(
            f"joint_layers={joint_layers}; this encoder has {config.num_hidden_layers} layers, so allowed are "
            f"1 to {config.num_hidden_layers}, or 0 for pairs that are read as one sequence"
        )


@dataclass(frozen=True, slots=True)
class ContextStates:
    """Hidden states of B contexts of at most S tokens.

    Args:
        inputs: for each joint layer, its (B, S, D) input.
        states: (B, S, D) output of the last layer.
        mask: (B, S), true for tokens that are not padding.
    """

    inputs: tuple[Tensor, ...]
    states: Tensor
    mask: Tensor


class JointLayers(nn.Module):
    """The gates of the joint layers: (K, H) addends of attention scores from candidate to context, one for each head.

    With the initial gates, a candidate's states are close to those of the candidate alone, with which the encoder was
    trained.
    """

    def __init__(self, layers: int, heads: int) -> None:
        super().__init__()
        self.gates = nn.Parameter(torch.full((layers, heads), INITIAL_GATE))

    def encode_contexts(self, bert: BertModel, rows: EncoderBatch) -> ContextStates:
        """Compute contexts by themselves through all layers."""
        inputs = _layer_inputs(bert, rows, len(bert.encoder.layer))
        return ContextStates(tuple(inputs[-1 - len(self.gates) : -1]), inputs[-1], rows.mask)

    def encode_candidates(self, bert: BertModel, rows: EncoderBatch) -> Tensor:
        """Return the (C, T, D) states of candidates before the first joint layer."""
        return _layer_inputs(bert, rows, len(bert.encoder.layer) - len(self.gates))[-1]

    def forward(self, bert: BertModel, contexts: ContextStates, states: Tensor, mask: Tensor) -> Tensor:
        """Return the (B, P, T, D) states, after the last layer, of P candidates for each of B contexts.

        Args:
            bert: the encoder.
            contexts: the encoded contexts.
            states: (B, P, T, D) states of the candidates before the first joint layer.
            mask: (B, P, T), true for tokens of candidates that are not padding.
        """
        layers = cast(Any, bert.encoder.layer)[-len(self.gates) :]
        for layer, gate, inputs in zip(layers, self.gates, contexts.inputs, strict=True):
            attended = _attend(layer.attention.self, gate, inputs, contexts.mask, states, mask)
            states = layer.feed_forward_chunk(layer.attention.output(attended, states))
        return states


Score = Callable[[ContextStates, Tensor, Tensor], Tensor]
"""Maps B contexts, (B, P, T, D) states of their candidates and a (B, P, T) mask to (B, P) scores."""


def joint_scores(
    bert: BertModel,
    joint: JointLayers,
    score: Score,
    contexts: Sequence[EncoderInput],
    candidates: Sequence[EncoderInput],
    pools: Tensor,
    *,
    pad_token_id: int,
    recompute: bool = False,
) -> Tensor:
    """Return (B, P) scores, with gradients, of P candidates for each of B contexts.

    Args:
        bert: the encoder.
        joint: its joint layers.
        score: computes scores from states after the last layer.
        contexts: rows of the contexts.
        candidates: rows of the distinct candidates of all contexts, each laid out by itself.
        pools: (B, P) indices in `candidates`.
        pad_token_id: the token of padding.
        recompute: see `encoder.encode_in_batches`.
    """
    lengths = torch.tensor([len(row) for row in candidates])
    longest = int(lengths.max())

    def encode(rows: EncoderBatch) -> tuple[Tensor]:
        states = joint.encode_candidates(bert, rows)
        return (functional.pad(states, (0, 0, 0, longest - states.shape[1])),)

    [states] = encode_in_batches(candidates, encode, pad_token_id=pad_token_id, device=bert.device, recompute=recompute)
    columns = lengths[pools].argsort(dim=1, stable=True)
    by_length = pools.gather(1, columns)

    def score_chunk(padded: EncoderBatch, chunk: Tensor, states: Tensor) -> Tensor:
        encoded = joint.encode_contexts(bert, padded)
        parts = []
        for group in chunk.split(CANDIDATES_PER_GROUP, dim=1):
            mask = (torch.arange(int(lengths[group].max())) < lengths[group][..., None]).to(bert.device)
            own = states[group.to(bert.device), : mask.shape[-1]]
            parts.append(score(encoded, joint(bert, encoded, own, mask), mask))
        return torch.cat(parts, 1)

    scores = []
    order: list[int] = []
    tokens = TOKENS_PER_CPU_CHUNK if bert.device.type == "cpu" else TOKENS_PER_CHUNK
    for indices in batches_by_length([len(row) for row in contexts], max_tokens=tokens):
        padded = pad_rows([contexts[index] for index in indices], pad_token_id).to(bert.device)
        chunk = (padded, by_length[indices], states)
        scores.append(checkpoint(score_chunk, *chunk, use_reentrant=False) if recompute else score_chunk(*chunk))
        order += indices
    sorted_scores = torch.cat(scores)[torch.tensor(order).argsort().to(bert.device)]
    return sorted_scores.gather(1, columns.argsort(1).to(bert.device))


def _layer_inputs(bert: BertModel, rows: EncoderBatch, layers: int) -> list[Tensor]:
    """Return the (B, T, D) input of each of the first layers, and the output of the last of them."""
    mask = None if rows.mask.all() else rows.mask[:, None, None]
    states = [bert.embeddings(input_ids=rows.ids, token_type_ids=rows.types)]
    for layer in bert.encoder.layer[:layers]:
        states.append(layer(states[-1], mask))
    return states


def _attend(attention: Any, gate: Tensor, inputs: Tensor, context_mask: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """Return the (B, P, T, D) attention of candidates' tokens over their context and themselves; see `JointLayers`."""
    heads = attention.num_attention_heads
    queries, keys, values = (
        _split_heads(project(states), heads) for project in (attention.query, attention.key, attention.value)
    )
    context_keys, context_values = (
        _split_heads(project(inputs), heads) for project in (attention.key, attention.value)
    )
    queries = queries * queries.shape[-1] ** -0.5
    to_context = _by_context(queries) @ context_keys.transpose(-1, -2) + gate[:, None, None]
    to_context = to_context.masked_fill(~context_mask[:, None, None], -torch.inf)
    to_own = (queries @ keys.transpose(-1, -2)).masked_fill(~mask[:, :, None, None], -torch.inf)
    weights = torch.cat([to_context, _by_context(to_own)], -1).softmax(-1, dtype=torch.float32).to(values.dtype)
    weights = functional.dropout(weights, attention.dropout.p, attention.training)
    to_context, to_own = weights.split([inputs.shape[1], states.shape[2]], -1)
    shape = states.shape[1:3]
    attended = _by_candidate(to_context @ context_values, shape) + _by_candidate(to_own, shape) @ values
    return attended.transpose(2, 3).flatten(3)


def _split_heads(states: Tensor, heads: int) -> Tensor:
    """Turn (..., T, D) into (..., H, T, D / H)."""
    return cast(Tensor, states.unflatten(-1, (heads, -1))).transpose(-3, -2)


def _by_context(states: Tensor) -> Tensor:
    """Turn (B, P, H, T, X) of P candidates into (B, H, P T, X), so that they attend to their context at once."""
    return states.transpose(1, 2).flatten(2, 3)


def _by_candidate(states: Tensor, shape: Sequence[int]) -> Tensor:
    """Invert `_by_context`; `shape` is (P, T)."""
    return cast(Tensor, states.unflatten(2, tuple(shape))).transpose(1, 2)
