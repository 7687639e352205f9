"""Logits less penalties, and where everything is forbidden, against plain loops."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from convmodel.generation.penalties import (
    NO_REPEAT,
    SELF_REPETITION,
)
from convmodel.generation.request import GenerationRequest
from convmodel.generation.sampler import SequenceSampler, sample
from tests.generation.penalty_oracles import (
    END,
    PENALTIES,
    WORDS,
    config,
    longest_run,
    ngrams,
    penalized,
    plainly_penalized,
    random_ids,
)


def sampler(how: GenerationConfig, context: Sequence[int] = (1,), **options: Any) -> SequenceSampler:
    return SequenceSampler(GenerationRequest(context, None, how, **options), torch.device("cpu"))


def test_logits_are_reduced_by_the_run_length_except_those_of_ends() -> None:
    source = random.Random(3)
    penalized = ended = 0
    for _ in range(60):
        said = [[*random_ids(source, 8), END] for _ in range(3)]
        penalty = source.choice([0.3, 1.0, 7.5])
        decoder = sampler(config(**{SELF_REPETITION: penalty}), own_turn_ids=said)
        reply: list[int] = []
        for token in random_ids(source, 9):
            logits = torch.randn(1, WORDS)
            runs = torch.tensor([float(longest_run(said, reply, t)) for t in range(WORDS)])
            ended += int(runs[END] > 0)
            runs[END] = 0
            assert torch.allclose(decoder.penalize(logits.clone()), logits - penalty * runs, atol=1e-6)
            penalized += int(runs.sum() > 0)
            decoder.append(token)
            reply.append(token)
    assert penalized > 50 and ended > 10


def test_only_forbidden_tokens_get_minus_infinity_and_ends_are_never_forbidden() -> None:
    source = random.Random(4)
    for _ in range(60):
        turns = [[*random_ids(source), END] for _ in range(3)]
        decoder = sampler(config(**{NO_REPEAT: 2}), history_ids=turns)
        reply: list[int] = []
        for token in random_ids(source, 9):
            logits = torch.randn(1, WORDS)
            seen = set().union(ngrams(2, reply), *(ngrams(2, turn) for turn in turns))
            forbidden = [t for t in range(WORDS) if t != END and tuple([*reply, t][-2:]) in seen]
            expected = logits.clone()
            expected[0, forbidden] = -torch.inf
            assert decoder.penalize(logits.clone()).equal(expected)
            decoder.append(token)
            reply.append(token)


def test_a_reply_ends_when_every_token_is_forbidden() -> None:
    turns = [list(range(WORDS))]
    for options in ({}, {"do_sample": True}, {"min_new_tokens": 5}, {"do_sample": True, "min_new_tokens": 5}):
        how = config(**{NO_REPEAT: 1}, **options)
        decoders = [sampler(how, seed=0, history_ids=turns) for _ in range(2)]
        assert sample(decoders, torch.randn(2, WORDS)) == [END, END]


def test_penalties_by_count_of_many_replies_equal_those_of_a_plain_loop() -> None:
    source = random.Random(7)
    decoders = [sampler(penalized(*how), [1, 2, 2]) for how in PENALTIES * 3]
    replies: list[list[int]] = [[] for _ in decoders]
    for _ in range(15):
        logits = torch.randn(len(decoders), WORDS)
        given = logits.clone()
        how = zip(logits, replies, PENALTIES * 3, strict=True)
        expected = [int(plainly_penalized(row, reply, *penalty).argmax()) for row, reply, penalty in how]
        assert sample(decoders, logits) == expected and logits.equal(given)
        for decoder, reply, token in zip(decoders, replies, expected, strict=True):
            for taken in [source.randrange(WORDS)] * source.randint(0, 2):
                decoder.append(taken)
                reply.append(taken)
            reply.append(token)
    assert sum(reply.count(END) for reply in replies) > 10  # ends were taken, and lose nothing
