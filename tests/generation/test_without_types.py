"""What is read without token types, against transformers' own GPT-2 that is given none."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.engine import Engine
from convmodel.generation.int8 import to_int8
from convmodel.generation.padded import ModelInput, score_rows
from convmodel.generation.request import NO_TYPE, GenerationRequest
from tests.generation.helpers import END, config, contexts


def plain(network: GPT2LMHeadModel, ids: Sequence[int], types: Sequence[int] | None, limit: int = 12) -> list[int]:
    """The greedy continuation, from whole uncached passes."""
    ids, reply = list(ids), list[int]()
    types = None if types is None else list(types)
    while len(reply) < limit:
        given = {} if types is None else {"token_type_ids": torch.tensor([types])}
        with torch.no_grad():
            token = int(network(torch.tensor([ids]), **given, use_cache=False).logits[0, -1].argmax())
        if token == END:
            break
        reply.append(token)
        ids.append(token)
        if types is not None:
            types.append(types[-1])
    return reply


@pytest.mark.parametrize(("running", "kept", "pieces"), [(1, 1, 1), (3, 4, 5), (16, 16, 256)])
def test_rows_with_and_without_types_in_one_batch_equal_transformers(
    network: GPT2LMHeadModel, running: int, kept: int, pieces: int
) -> None:
    """The same ids with types 0, 1 and none share nothing but their ids, without and with graphs."""
    requests = []
    for ids in contexts(running, 8):
        requests += [GenerationRequest(ids, types, config()) for types in (None, [0] * len(ids), [1] * len(ids))]
    random.Random(0).shuffle(requests)
    expected = [plain(network, request.input_ids, request.token_type_ids) for request in requests]
    for graphs in (False, True):
        engine = Engine(network, max_running=running, max_kept=kept, read_per_step=pieces, graphs=graphs)
        assert [ticket.tokens for ticket in engine.run(requests + requests)] == expected + expected
    assert len({tuple(tokens) for tokens in expected}) > 12


def test_cached_tokens_are_reused_only_by_requests_without_types(network: GPT2LMHeadModel) -> None:
    engine, ids = Engine(network, max_running=1, max_kept=2), list(range(20))
    engine.run([GenerationRequest(ids, None, config(max_new_tokens=1))])
    before = engine.tokens_read
    engine.run([GenerationRequest([*ids, 5], None, config(max_new_tokens=1))])
    assert engine.tokens_read - before == 1
    engine.run([GenerationRequest([*ids, 5], [0] * 21, config(max_new_tokens=1))])
    assert engine.tokens_read - before == 22
    assert GenerationRequest(ids, None, config()).types == [NO_TYPE] * 20


def test_samples_are_the_same_alone_and_among_others(network: GPT2LMHeadModel) -> None:
    how = config(do_sample=True, temperature=1.4, top_p=0.95, max_new_tokens=16)
    requests = [GenerationRequest(ids, None, how, seed=n, scored=True) for n, ids in enumerate(contexts(5, 20))]
    alone = [Engine(network, max_running=1).run([request])[0] for request in requests]
    together = Engine(network, max_running=20, read_per_step=31).run(requests)
    assert [ticket.tokens for ticket in together] == [ticket.tokens for ticket in alone]
    for ticket in together:
        said = [*ticket.tokens, *[END][: ticket.finish == "end"]]
        row = ModelInput([*ticket.request.input_ids, *said], None)
        assert ticket.log_likelihood == pytest.approx(score_rows(network, [row], [len(said)], pad_token_id=END)[0])
    assert [each.tokens for each in Engine(network).run([replace(one, seed=99) for one in requests])] != [
        ticket.tokens for ticket in alone
    ]


def test_int8_gives_the_same_alone_and_among_others(network: GPT2LMHeadModel) -> None:
    to_int8(network)
    requests = [GenerationRequest(ids, None, config()) for ids in contexts(7, 12)]
    alone = [Engine(network, max_running=1).run([request])[0].tokens for request in requests]
    assert [ticket.tokens for ticket in Engine(network, max_running=12).run(requests)] == alone
