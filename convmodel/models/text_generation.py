"""Text generation jobs, which are computed by the engine or by transformers' `generate`, and generated texts."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel

from convmodel.generation.engine import Engine
from convmodel.generation.engine_support import supports_engine
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import ModelInput, generate_in_batches
from convmodel.generation.request import SEEDS, Finish, GenerationRequest, RequestState, derive_seed
from convmodel.models.detokenizer import PREFIX_TAIL, StreamingDetokenizer
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.reasoning import ReasoningSplitter, ReasoningTags
from convmodel.tokens.text_tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class GenerationJob:
    """One laid-out input, and everything that is needed to generate one or more texts from it.

    Args:
        row: the laid-out input.
        decoding: the decoding configuration.
        seed: the seed that reproduces the texts; None if nothing is sampled.
        requests: for each text, the request to the engine.
        streams: for each text, its detokenizer.
        splitters: for each text, the splitter that separates reasoning from it; None if the model does not reason.
    """

    row: ModelInput
    decoding: DecodingConfig
    seed: int | None
    requests: list[GenerationRequest]
    streams: list[StreamingDetokenizer]
    splitters: list[ReasoningSplitter | None]


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A generated text without separators, cut before a stop string.

    Args:
        text: the text.
        ids: the generated token ids, without the final separator.
        finish: the reason for the end of the text.
        per_token: log-likelihood per token under the model itself, including the final separator, in nats; None if it
            was not requested.
        reasoning: the reasoning that the model wrote before the text, without its tags.
    """

    text: str
    ids: tuple[int, ...]
    finish: Finish
    per_token: float | None = None
    reasoning: str = ""


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
    reasoning: ReasoningTags | None = None,
    lead: str = "",
) -> GenerationJob:
    """Create a job with a request for each text to be generated from a row.

    Args:
        row: the laid-out input.
        decoding: the decoding configuration.
        seed: seed of the texts; if None and anything is sampled, it is drawn from torch's global generator.
        sink: a function called with each piece of the first text that has become final.
        scored, history_ids, own_turn_ids, prefix_ids: see `GenerationRequest`.
        reasoning: the tags of reasoning, which is removed from the texts; None for a model that does not reason.
        lead: white space between a given speaker's name and the text, which is not part of the text.

    Raises:
        ValueError: for a seed out of range.
    """
    if not decoding.config.do_sample:
        seed = None
    elif seed is None:
        seed = int(torch.randint(SEEDS - 1, (1,)))
    elif isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed={seed!r}; allowed are whole numbers from 0 to 2**63 - 1")
    streams = [
        StreamingDetokenizer(tokenizer.hf_tokenizer, decoding.stop_strings, prefix_ids=prefix_ids[-PREFIX_TAIL:])
        for _ in range(decoding.num_replies)
    ]
    if lead:  # after a speaker's name there is no reasoning
        splitters: list[ReasoningSplitter | None] = [ReasoningSplitter.for_text() for _ in streams]
    else:
        splitters = [None if reasoning is None else ReasoningSplitter(reasoning) for _ in streams]
    requests = [
        GenerationRequest(
            row.input_ids,
            row.token_type_ids,
            decoding.config,
            seed=None if seed is None else derive_seed(seed, index),
            stop=partial(_feed, stream, splitter, None if index else sink) if decoding.stop_strings or sink else None,
            scored=scored,
            history_ids=history_ids,
            own_turn_ids=own_turn_ids,
            prefix_ids=prefix_ids,
        )
        for index, (stream, splitter) in enumerate(zip(streams, splitters, strict=True))
    ]
    return GenerationJob(row, decoding, seed, requests, streams, splitters)


def _feed(
    stream: StreamingDetokenizer,
    splitter: ReasoningSplitter | None,
    sink: Callable[[str], None] | None,
    token: int,
) -> bool:
    """Feed a token to a detokenizer, pass the new text to `sink`, and return whether a stop string has appeared."""
    piece = stream.feed(token)
    if splitter is not None:
        piece = splitter.feed(piece, token)
    if piece and sink is not None:
        sink(piece)
    return stream.stopped


def collect_texts(job: GenerationJob, states: Sequence[RequestState]) -> list[GeneratedText]:
    """Return the texts of a finished job.

    Args:
        job: the job.
        states: the engine's final state of each request.
    """
    texts = []
    for request, stream, splitter, state in zip(job.requests, job.streams, job.splitters, states, strict=True):
        assert state.finish is not None
        per_token = state.per_token if request.scored else None
        texts.append(_end(stream, splitter, state.tokens, state.finish, per_token, is_fed=request.stop is not None))
    return texts


def _end(
    stream: StreamingDetokenizer,
    splitter: ReasoningSplitter | None,
    ids: Sequence[int],
    finish: Finish,
    per_token: float | None = None,
    *,
    is_fed: bool = False,
) -> GeneratedText:
    """Return the text of generated ids.

    Args:
        stream: the detokenizer of the text.
        splitter: the splitter of the text.
        ids: all generated ids.
        finish: the reason for the end, unless a stop string ended the text.
        per_token: see `GeneratedText`.
        is_fed: whether the detokenizer already has all ids.
    """
    for token in () if is_fed else ids:
        _feed(stream, splitter, None, token)
    rest = stream.finish()
    if splitter is not None:
        splitter.finish(rest)
    text = stream.text if splitter is None else splitter.text
    reasoning = "" if splitter is None else splitter.reasoning
    return GeneratedText(text, tuple(ids), "stop" if stream.stopped else finish, per_token, reasoning)


ROWS_PER_BATCH = 32
"""Largest number of rows in a batch."""


def write(
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    jobs: Sequence[GenerationJob],
    *,
    is_cancelled: Callable[[], bool] | None = None,
) -> list[list[GeneratedText]]:
    """Generate the texts of jobs with the same decoding configuration; return a list of texts for each job.

    If transformers' `generate` computes the texts, it calls `is_cancelled` after each token, and stops when the result
    is true.
    """
    if not jobs:
        return []
    decoding = jobs[0].decoding
    with eval_mode(model):
        if not runs_in_engine(model, decoding):
            return _with_transformers(model, tokenizer, jobs, is_cancelled)
        requests = [request for job in jobs for request in job.requests]
        states = Engine(model, max_running=min(ROWS_PER_BATCH, len(requests))).run(requests)
        n = decoding.num_replies
        return [collect_texts(job, states[i * n : (i + 1) * n]) for i, job in enumerate(jobs)]


WARNED: set[str] = set()
"""Architectures that the engine does not support and that were already logged."""


def runs_in_engine(model: PreTrainedModel, decoding: DecodingConfig) -> bool:
    """Return whether the engine computes the texts; otherwise transformers' `generate` does.

    For each architecture that the engine does not support, a warning is logged once.

    Raises:
        ValueError: for options that only the engine has, if it does not support the architecture.
    """
    if supports_engine(model):
        return decoding.uses_engine
    architecture = type(model).__name__
    decoding.check_without_engine(f"take another model than {architecture}, which the engine does not support")
    if architecture not in WARNED:
        WARNED.add(architecture)
        logging.getLogger(__name__).warning(
            "%s: the engine does not support this architecture; transformers' generate writes, one request at a time",
            architecture,
        )
    return False


def _with_transformers(
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    jobs: Sequence[GenerationJob],
    is_cancelled: Callable[[], bool] | None,
) -> list[list[GeneratedText]]:
    """Generate texts with transformers' `generate`, in batches of similar length."""
    config = jobs[0].decoding.config
    # max_length and min_length include the input, so that padding would change their meaning.
    equal_lengths = config.max_length is not None or bool(config.min_length)
    max_rows = 1 if config.do_sample else ROWS_PER_BATCH  # each sampled row has its own seed
    lengths = [len(job.row.input_ids) for job in jobs]
    ids = generate_in_batches(
        model,
        [job.row for job in jobs],
        jobs[0].decoding,
        batches=batches_by_length(lengths, max_rows=max_rows, equal_lengths=equal_lengths),
        seeds=[job.seed for job in jobs],
        tokenizer=tokenizer.hf_tokenizer,
        is_cancelled=is_cancelled,
    )
    results = []
    for job, job_ids in zip(jobs, ids, strict=True):
        limit = config.max_length - len(job.row.input_ids) if config.max_new_tokens is None else config.max_new_tokens
        limit -= config.forced_eos_token_id is not None  # the last token is then a forced end token
        finishes: list[Finish] = ["length" if len(text_ids) >= limit else "end" for text_ids in job_ids]
        results.append(list(map(_end, job.streams, job.splitters, job_ids, finishes)))
    if model.config.is_encoder_decoder:  # BlenderBot's replies begin with the space of their first word
        results = [[replace(text, text=text.text.strip()) for text in texts] for texts in results]
    return results


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode inside the block, and back to its previous mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
