"""Prepared rows in, written texts out: through the engine, or through transformers' `generate`."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import GPT2LMHeadModel

from convmodel.continuation import Prepared, Written, as_written, written
from convmodel.generation import Engine, WhenGivenUp, generate_rows
from convmodel.generation.options import Decoding
from convmodel.tokens.text_tokenizer import TextTokenizer

ROWS_PER_BATCH = 32
"""Rows that are read at once."""


def write(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    prepared: Sequence[Prepared],
    *,
    given_up: Callable[[], bool] | None = None,
) -> list[list[Written]]:
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
        return [written(one, tickets[n * how.replies : (n + 1) * how.replies]) for n, one in enumerate(prepared)]


def _by_transformers(
    model: GPT2LMHeadModel,
    tokenizer: TextTokenizer,
    prepared: Sequence[Prepared],
    how: Decoding,
    given_up: Callable[[], bool] | None,
) -> list[list[Written]]:
    """The same through transformers' `generate`, rows of like length together."""
    counted = how.config.max_length is not None or bool(how.config.min_length)  # they count what is read too
    others = dict(how.others)
    config = how.config
    if how.stop_strings:
        config = copy.deepcopy(config)
        config.stop_strings = list(how.stop_strings)
        others.setdefault("tokenizer", tokenizer.hf_tokenizer)
    if given_up is not None:
        others["stopping_criteria"] = [*others.get("stopping_criteria", ()), WhenGivenUp(given_up)]
    found: dict[int, list[Written]] = {}
    lengths = [len(one.row.input_ids) for one in prepared]
    for numbers in _groups(lengths, same_length=counted, alone=config.do_sample):
        rows = [prepared[n].row for n in numbers]
        with _drawing_from(prepared[numbers[0]].seed):
            texts = generate_rows(model, rows, config, **others)
        for n, ids in zip(numbers, texts, strict=True):
            found[n] = [as_written(tokenizer, prepared[n], each) for each in ids]
    return [found[n] for n in range(len(prepared))]


def _groups(lengths: Sequence[int], *, same_length: bool, alone: bool) -> Iterator[list[int]]:
    """Numbers of rows to be read together: of like length, so that little is padding."""
    group: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if group and (alone or len(group) == ROWS_PER_BATCH or (same_length and lengths[n] != lengths[group[0]])):
            yield group
            group = []
        group.append(n)
    if group:
        yield group


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
