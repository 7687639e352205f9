"""Ids and options in, the engine's requests out, and their tokens back in, texts out."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.engine import Engine
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import CancelCriteria, ModelInput, generate_rows
from convmodel.generation.request import Finish, GenerationRequest, RequestState
from convmodel.generation.seeds import SEEDS, derive_seed
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.detokenizer import StreamingDetokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer

LAST = 32
"""Tokens of what was begun that decide how the next is written; so many are more than enough."""


@dataclass(frozen=True, slots=True)
class GenerationJob:
    """What is ready to be gone on with.

    Args:
        row: what is read, laid out.
        decoding: how texts are written.
        seed: with it the same row gives the same texts; None where nothing is drawn.
        requests: one for each text.
        streams: each text, which grows with the engine's steps.
    """

    row: ModelInput
    decoding: DecodingConfig
    seed: int | None
    requests: list[GenerationRequest]
    streams: list[StreamingDetokenizer]


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text as it was written.

    Args:
        text: without separators, and without what came with a stop string.
        ids: its tokens, without the one that ends it.
        finish: why it is over.
        per_token: its log-likelihood for each token under the model itself, its end included, in nats; None where
            nobody asked.
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
    turns: Sequence[Sequence[int]] = (),
    said: Sequence[Sequence[int]] = (),
    begun: Sequence[int] = (),
) -> GenerationJob:
    """Makes a request for each text that is to follow a row.

    Args:
        tokenizer: of the model.
        row: what is read.
        decoding: of the texts.
        seed: drawn from torch's global generator when None and something is sampled.
        scored: whether likelihoods are wanted.
        sink: called with pieces of the first text as they become certain.
        turns, said, begun: see `Request`.

    Raises:
        ValueError: for a seed out of range.
    """
    seed = _checked_seed(seed) if decoding.config.do_sample else None
    streams = [_stream(tokenizer, decoding, begun) for _ in range(decoding.replies)]
    requests = [
        GenerationRequest(
            row.input_ids,
            row.token_type_ids,
            decoding.config,
            seed=None if seed is None else derive_seed(seed, number),
            stop=_StopOnString(stream, None if number else sink) if decoding.stop_strings or sink else None,
            scored=scored,
            history_ids=turns,
            own_turn_ids=said,
            prefix_ids=begun,
        )
        for number, stream in enumerate(streams)
    ]
    return GenerationJob(row, decoding, seed, requests, streams)


@dataclass(frozen=True, slots=True)
class _StopOnString:
    """Gives tokens to their text, and says when a stop string came."""

    stream: StreamingDetokenizer
    sink: Callable[[str], None] | None

    def __call__(self, token: int) -> bool:
        piece = self.stream.feed(token)
        if piece and self.sink is not None:
            self.sink(piece)
        return self.stream.stopped


def collect_texts(prepared: GenerationJob, tickets: Sequence[RequestState]) -> list[GeneratedText]:
    """What became of each request, when all are over."""
    found = []
    for request, stream, ticket in zip(prepared.requests, prepared.streams, tickets, strict=True):
        assert ticket.finish is not None
        for token in () if request.stop is not None else ticket.tokens:
            stream.feed(token)
        stream.finish()
        likelihood = ticket.per_token if request.scored else None
        finish = "stop" if stream.stopped else ticket.finish
        found.append(GeneratedText(stream.text, tuple(ticket.tokens), finish, likelihood))
    return found


def text_from_ids(tokenizer: TextTokenizer, prepared: GenerationJob, ids: Sequence[int]) -> GeneratedText:
    """The same of a text that did not come from the engine, from its tokens without the end."""
    how = prepared.decoding
    stream = _stream(tokenizer, how, prepared.requests[0].prefix_ids)
    for token in ids:
        stream.feed(token)
    stream.finish()
    most = how.config.max_new_tokens
    if most is None:
        most = how.config.max_length - len(prepared.row.input_ids)
    full = len(ids) >= most
    return GeneratedText(stream.text, tuple(ids), "stop" if stream.stopped else "length" if full else "end")


def _stream(tokenizer: TextTokenizer, decoding: DecodingConfig, begun: Sequence[int]) -> StreamingDetokenizer:
    return StreamingDetokenizer(tokenizer.hf_tokenizer, decoding.stop_strings, begun=begun[-LAST:])


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return int(torch.randint(SEEDS - 1, (1,)))
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed={seed!r}; allowed are whole numbers from 0 to 2**63 - 1")
    return seed


ROWS_PER_BATCH = 32
"""Rows that are read at once."""


def write(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    prepared: Sequence[GenerationJob],
    *,
    given_up: Callable[[], bool] | None = None,
) -> list[list[GeneratedText]]:
    """Writes what follows rows that are prepared with the same decoding.

    Args:
        model: what writes.
        tokenizer: of the model.
        prepared: the rows.
        given_up: asked at each token that transformers' `generate` writes; it ends when it says so.
    """
    if not prepared:
        return []
    how = prepared[0].decoding
    with evaluating(model):
        if not how.through_engine:
            return _by_transformers(model, tokenizer, prepared, how, given_up)
        requests = [request for one in prepared for request in one.requests]
        tickets = Engine(model, max_running=min(ROWS_PER_BATCH, len(requests))).run(requests)
        return [collect_texts(one, tickets[n * how.replies : (n + 1) * how.replies]) for n, one in enumerate(prepared)]


def _by_transformers(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    prepared: Sequence[GenerationJob],
    how: DecodingConfig,
    given_up: Callable[[], bool] | None,
) -> list[list[GeneratedText]]:
    """The same through transformers' `generate`, rows of like length together."""
    counted = how.config.max_length is not None or bool(how.config.min_length)  # they count what is read too
    others = dict(how.others)
    config = how.config
    if how.stop_strings:
        config = copy.deepcopy(config)
        config.stop_strings = list(how.stop_strings)
        others.setdefault("tokenizer", tokenizer.hf_tokenizer)
    if given_up is not None:
        others["stopping_criteria"] = [*others.get("stopping_criteria", ()), CancelCriteria(given_up)]
    found: dict[int, list[GeneratedText]] = {}
    lengths = [len(one.row.input_ids) for one in prepared]
    max_rows = 1 if config.do_sample else ROWS_PER_BATCH  # a sampled row draws from its own seed
    for numbers in batches_by_length(lengths, max_rows=max_rows, equal_lengths=counted):
        rows = [prepared[n].row for n in numbers]
        with _drawing_from(prepared[numbers[0]].seed):
            texts = generate_rows(model, rows, config, **others)
        for n, ids in zip(numbers, texts, strict=True):
            found[n] = [text_from_ids(tokenizer, prepared[n], each) for each in ids]
    return [found[n] for n in range(len(prepared))]


@contextlib.contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Lets torch draw from a seed inside a block, and go on outside of it as though nothing was drawn."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class evaluating:
    """Turns dropout off inside a block and leaves the model as it was."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self._model, self._training = model, model.training

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        self._model.train(self._training)
