"""Text generation jobs: requests to the engine or to transformers' `generate`, and the texts that they produce."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.engine import Engine
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import CancelCriteria, ModelInput, generate_rows
from convmodel.generation.request import SEEDS, Finish, GenerationRequest, RequestState, derive_seed
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.detokenizer import StreamingDetokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer

PREFIX_TAIL = 32
"""Number of last prefix tokens that are decoded together with the first new tokens; more than any token needs."""


@dataclass(frozen=True, slots=True)
class GenerationJob:
    """One input with the requests for the texts to be generated from it.

    Args:
        row: the laid-out input.
        decoding: the decoding configuration.
        seed: the seed with which the same row gives the same texts; None if nothing is sampled.
        requests: one request for each text.
        streams: the detokenizer of each text.
    """

    row: ModelInput
    decoding: DecodingConfig
    seed: int | None
    requests: list[GenerationRequest]
    streams: list[StreamingDetokenizer]


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A generated text.

    Args:
        text: the text, without separators, and cut before a stop string.
        ids: the generated token ids, without the final separator.
        finish: why the text ended.
        per_token: log-likelihood per token under the model itself, including the final separator, in nats; None if it
            was not requested.
    """

    text: str
    ids: tuple[int, ...]
    finish: Finish
    per_token: float | None = None


def make_job(
    tokenizer: TextTokenizer,
    row: ModelInput,
    decoding: DecodingConfig,
    *,
    seed: int | None = None,
    scored: bool = False,
    sink: Callable[[str], None] | None = None,
    history_ids: Sequence[Sequence[int]] = (),
    own_turn_ids: Sequence[Sequence[int]] = (),
    prefix_ids: Sequence[int] = (),
) -> GenerationJob:
    """Create a job with a request for each text to be generated from a row.

    Args:
        tokenizer: the model's tokenizer.
        row: the laid-out input.
        decoding: the decoding configuration of the texts.
        seed: seed of the texts; None draws one from torch's global generator if anything is sampled.
        scored: whether to compute the likelihoods of the texts.
        sink: a function called with the next characters of the first text as they become final.
        history_ids, own_turn_ids, prefix_ids: see `GenerationRequest`.

    Raises:
        ValueError: for a seed out of range.
    """
    if not decoding.config.do_sample:
        seed = None
    elif seed is None:
        seed = int(torch.randint(SEEDS - 1, (1,)))
    elif isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed={seed!r}; allowed are whole numbers from 0 to 2**63 - 1")
    streams = [_stream(tokenizer, decoding, prefix_ids) for _ in range(decoding.num_replies)]
    requests = [
        GenerationRequest(
            row.input_ids,
            row.token_type_ids,
            decoding.config,
            seed=None if seed is None else derive_seed(seed, index),
            stop=_StopOnString(stream, None if index else sink) if decoding.stop_strings or sink else None,
            scored=scored,
            history_ids=history_ids,
            own_turn_ids=own_turn_ids,
            prefix_ids=prefix_ids,
        )
        for index, stream in enumerate(streams)
    ]
    return GenerationJob(row, decoding, seed, requests, streams)


@dataclass(frozen=True, slots=True)
class _StopOnString:
    """A stop condition that feeds tokens to a detokenizer and returns whether a stop string has appeared."""

    stream: StreamingDetokenizer
    sink: Callable[[str], None] | None

    def __call__(self, token: int) -> bool:
        piece = self.stream.feed(token)
        if piece and self.sink is not None:
            self.sink(piece)
        return self.stream.stopped


def collect_texts(job: GenerationJob, states: Sequence[RequestState]) -> list[GeneratedText]:
    """Return the texts of a job whose requests are all finished, from the engine's state of each request."""
    texts = []
    for request, stream, state in zip(job.requests, job.streams, states, strict=True):
        assert state.finish is not None
        for token in () if request.stop is not None else state.tokens:
            stream.feed(token)
        stream.finish()
        likelihood = state.per_token if request.scored else None
        finish = "stop" if stream.stopped else state.finish
        texts.append(GeneratedText(stream.text, tuple(state.tokens), finish, likelihood))
    return texts


def text_from_ids(tokenizer: TextTokenizer, job: GenerationJob, ids: Sequence[int]) -> GeneratedText:
    """Build a GeneratedText from token ids that transformers' `generate` produced, with the final separator removed."""
    config = job.decoding.config
    stream = _stream(tokenizer, job.decoding, job.requests[0].prefix_ids)
    for token in ids:
        stream.feed(token)
    stream.finish()
    limit = config.max_length - len(job.row.input_ids) if config.max_new_tokens is None else config.max_new_tokens
    finish: Finish = "length" if len(ids) >= limit else "end"
    return GeneratedText(stream.text, tuple(ids), "stop" if stream.stopped else finish)


def _stream(tokenizer: TextTokenizer, decoding: DecodingConfig, prefix_ids: Sequence[int]) -> StreamingDetokenizer:
    return StreamingDetokenizer(tokenizer.hf_tokenizer, decoding.stop_strings, prefix_ids=prefix_ids[-PREFIX_TAIL:])


ROWS_PER_BATCH = 32
"""Largest number of rows in a batch."""


def write(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    jobs: Sequence[GenerationJob],
    *,
    is_cancelled: Callable[[], bool] | None = None,
) -> list[list[GeneratedText]]:
    """Return the texts of each of some jobs with the same decoding configuration.

    `is_cancelled` is called at each token of transformers' `generate`, which ends when it returns true.
    """
    if not jobs:
        return []
    decoding = jobs[0].decoding
    with eval_mode(model):
        if not decoding.uses_engine:
            return _with_transformers(model, tokenizer, jobs, is_cancelled)
        requests = [request for job in jobs for request in job.requests]
        states = Engine(model, max_running=min(ROWS_PER_BATCH, len(requests))).run(requests)
        n = decoding.num_replies
        return [collect_texts(job, states[i * n : (i + 1) * n]) for i, job in enumerate(jobs)]


def _with_transformers(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    jobs: Sequence[GenerationJob],
    is_cancelled: Callable[[], bool] | None,
) -> list[list[GeneratedText]]:
    """Generate texts with transformers' `generate`, in batches of similar length."""
    decoding = jobs[0].decoding
    config = decoding.config
    # max_length and min_length count the input too, so that padding would change their meaning.
    equal_lengths = config.max_length is not None or bool(config.min_length)
    options = dict(decoding.extra_options)
    if decoding.stop_strings:
        config = copy.deepcopy(config)
        config.stop_strings = list(decoding.stop_strings)
        options.setdefault("tokenizer", tokenizer.hf_tokenizer)
    if is_cancelled is not None:
        options["stopping_criteria"] = [*options.get("stopping_criteria", ()), CancelCriteria(is_cancelled)]
    results: dict[int, list[GeneratedText]] = {}
    lengths = [len(job.row.input_ids) for job in jobs]
    max_rows = 1 if config.do_sample else ROWS_PER_BATCH  # each sampled row draws from its own seed
    for indices in batches_by_length(lengths, max_rows=max_rows, equal_lengths=equal_lengths):
        rows = [jobs[index].row for index in indices]
        seed = jobs[indices[0]].seed
        with contextlib.nullcontext() if seed is None else torch.random.fork_rng():
            if seed is not None:
                torch.manual_seed(seed)
            sequences = generate_rows(model, rows, config, **options)
        for index, row_sequences in zip(indices, sequences, strict=True):
            results[index] = [text_from_ids(tokenizer, jobs[index], ids) for ids in row_sequences]
    return [results[index] for index in range(len(jobs))]


@contextlib.contextmanager
def eval_mode(model: GPT2LMHeadModel) -> Iterator[None]:
    """Switch a model to evaluation mode inside the block, and back to its previous mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


Value = TypeVar("Value")


def one_per_row(name: str, values: Sequence[Value] | None, rows: str, count: int, default: Value) -> Sequence[Value]:
    """Return one value for each of `count` rows: the given ones, or the default for all.

    Raises:
        ValueError: for another number of values.
    """
    if values is not None and len(values) != count:
        raise ValueError(f"{len(values)} {name} for {count} {rows}; give one each, or none")
    return [default] * count if values is None else values
