"""Generate and score batches of padded sequences with transformers' own forward pass."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from convmodel.generation.causal_lm import compute_logits, hidden_states
from convmodel.generation.options import DecodingConfig


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One laid-out sequence.

    Args:
        input_ids: T token ids.
        token_type_ids: T token types; None for a model without types. All rows of a batch have types, or none has.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None


def pad(rows: Sequence[Sequence[int]], fill: int, device: torch.device, *, left: bool = False) -> Tensor:
    """Stack B rows into a (B, T) tensor, padded on the right or on the left."""
    longest = max(map(len, rows))
    padding = [[fill] * (longest - len(row)) for row in rows]
    padded = [[*fills, *row] if left else [*row, *fills] for row, fills in zip(rows, padding, strict=True)]
    return torch.tensor(padded, device=device)


def _types(rows: Sequence[ModelInput]) -> list[list[int]] | None:
    """Return the token types of all rows, or None if they have none."""
    types = [row.token_type_ids for row in rows if row.token_type_ids is not None]
    assert len(types) in (0, len(rows)), "rows with and without token types cannot share a batch"
    return types or None


@torch.inference_mode()
def generate_rows(
    model: PreTrainedModel, rows: Sequence[ModelInput], config: GenerationConfig, **options: Any
) -> list[list[list[int]]]:
    """Return the `num_return_sequences` continuations of each row, up to an end token of `config`, which is left out.

    Args:
        model: model in evaluation mode.
        rows: B rows; the tokens of each reply get the type of the row's last token, if it has one.
        config: complete configuration, with `eos_token_id` (a list) and `pad_token_id`.
        options: further arguments of transformers' `generate`.
    """
    reads_apart = model.config.is_encoder_decoder
    # Generated tokens follow the last token directly, or the first token of a decoder of their own.
    stack = partial(pad, device=model.device, left=not reads_apart)
    inputs = {
        "input_ids": stack([row.input_ids for row in rows], config.pad_token_id),
        "attention_mask": stack([[1] * len(row.input_ids) for row in rows], 0),
    }
    types = _types(rows)
    if types is not None:
        inputs["token_type_ids"] = stack(types, 0)
    generate = cast(Any, model).generate  # annotated with another type of self
    generated = generate(**inputs, generation_config=config, **options)
    sequences = generated if isinstance(generated, Tensor) else generated.sequences
    rows_of_ids = sequences[:, 1 if reads_apart else inputs["input_ids"].shape[1] :].tolist()
    replies = [list(takewhile(lambda token: token not in config.eos_token_id, ids)) for ids in rows_of_ids]
    per_row = len(replies) // len(rows)
    return [replies[i : i + per_row] for i in range(0, len(replies), per_row)]


class CancelCriteria(StoppingCriteria):
    """Stopping criterion that ends all rows when `is_cancelled()` returns true."""

    def __init__(self, is_cancelled: Callable[[], bool]) -> None:
        self._is_cancelled = is_cancelled

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:
        done = torch.full((len(input_ids),), self._is_cancelled(), dtype=torch.bool, device=input_ids.device)
        return cast(torch.BoolTensor, done)


def generate_in_batches(
    model: PreTrainedModel,
    rows: Sequence[ModelInput],
    decoding: DecodingConfig,
    *,
    batches: Iterable[Sequence[int]],
    seeds: Sequence[int | None],
    tokenizer: PreTrainedTokenizerBase,
    is_cancelled: Callable[[], bool] | None = None,
) -> list[list[list[int]]]:
    """Return the continuations of rows, as `generate_rows` does, computed in batches of the given row indices.

    Each batch uses the seed of its first row. If there is a seed, the state of torch's global generator is not changed.
    `is_cancelled` is called at each token, and ends the generation when it returns true.
    """
    config = decoding.config
    options = dict(decoding.extra_options)
    if decoding.stop_strings:
        config = copy.deepcopy(config)
        config.stop_strings = list(decoding.stop_strings)
        options.setdefault("tokenizer", tokenizer)
    if is_cancelled is not None:
        options["stopping_criteria"] = [*options.get("stopping_criteria", ()), CancelCriteria(is_cancelled)]
    results: dict[int, list[list[int]]] = {}
    for indices in batches:
        seed = seeds[indices[0]]
        with contextlib.nullcontext() if seed is None else torch.random.fork_rng():
            if seed is not None:
                torch.manual_seed(seed)
            sequences = generate_rows(model, [rows[index] for index in indices], config, **options)
        results |= zip(indices, sequences, strict=True)
    return [results[index] for index in range(len(rows))]


@torch.inference_mode()
def score_rows(
    model: PreTrainedModel, rows: Sequence[ModelInput], reply_lengths: Sequence[int], *, pad_token_id: int
) -> list[float]:
    """Return, for each row, the log-likelihood in nats of its last tokens, given the tokens before them.

    The sums are computed in fp32 or better.

    Args:
        model: model in evaluation mode.
        rows: B rows, each a context with its reply.
        reply_lengths: (B,) number of the last tokens of each row that are scored. The decoder of an encoder-decoder
            reads these, and its encoder those before them.
        pad_token_id: padding of shorter rows on the right, where causal attention never sees it.
    """
    if model.config.is_encoder_decoder:
        return _score_decoded(model, rows, reply_lengths, pad_token_id=pad_token_id)
    ids = pad([row.input_ids for row in rows], pad_token_id, model.device)
    types = _types(rows)
    stacked = None if types is None else pad(types, 0, model.device)
    hidden = hidden_states(model, ids, stacked)
    scores = []
    for index, (row, length) in enumerate(zip(rows, reply_lengths, strict=True)):
        stop = len(row.input_ids)
        logits = compute_logits(model, hidden[index, stop - 1 - length : stop - 1])
        scores.append(_log_likelihood(logits, ids[index, stop - length : stop]))
    return scores


def _log_likelihood(logits: Tensor, tokens: Tensor) -> float:
    """Return the log-likelihood of (T,) tokens by (T, V) logits."""
    return float((logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(1)).double().sum())


def _score_decoded(
    model: PreTrainedModel, rows: Sequence[ModelInput], reply_lengths: Sequence[int], *, pad_token_id: int
) -> list[float]:
    """Return the log-likelihoods of `score_rows` for an encoder-decoder."""
    pairs = list(zip(rows, reply_lengths, strict=True))
    contexts = [row.input_ids[:-length] for row, length in pairs]
    replies = [row.input_ids[-length:] for row, length in pairs]
    first = first_decoder_token(model)
    logits = cast(Any, model)(
        input_ids=pad(contexts, pad_token_id, model.device),
        attention_mask=pad([[1] * len(ids) for ids in contexts], 0, model.device),
        decoder_input_ids=pad([[first, *reply[:-1]] for reply in replies], pad_token_id, model.device),
    ).logits
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    tokens = [torch.tensor(reply, device=model.device) for reply in replies]
    return [_log_likelihood(row[: len(ids)], ids) for row, ids in zip(logits, tokens, strict=True)]


def first_decoder_token(model: PreTrainedModel) -> int:
    """Return the token that the decoder of an encoder-decoder reads first, as `generate` chooses it.

    Raises:
        ValueError: when neither the model's configuration nor its decoding options name one.
    """
    config: Any = model.generation_config
    first = config.bos_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
    if first is None:
        raise ValueError(
            "an encoder-decoder needs decoder_start_token_id in its generation_config.json or config.json, the token "
            "that its decoder reads first; T5 takes its padding token, 0"
        )
    return int(first)
