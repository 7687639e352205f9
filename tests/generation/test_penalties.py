"""What may not be, or is unlikely to be, said again, against oracles that look through every sequence each time."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.generation.engine import Engine
from convmodel.generation.penalties import (
    LONGEST_RUN,
    NO_REPEAT,
    SELF_REPETITION,
    NGramBlocker,
    SelfRepetitionPenalty,
)
from convmodel.generation.request import GenerationRequest
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

# The counters


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_every_token_that_would_repeat_an_ngram_is_forbidden(size: int) -> None:
    source = random.Random(size)
    forbidden = 0
    for _ in range(150):
        turns = [random_ids(source) for _ in range(source.randint(0, 4))]
        watching, reply = NGramBlocker(size, turns), list[int]()
        for token in random_ids(source, 20):
            seen = set().union(ngrams(size, reply), *(ngrams(size, turn) for turn in turns))
            expected = {t for t in range(4) if len(reply) + 1 >= size and tuple([*reply, t][-size:]) in seen}
            assert watching.forbidden() == expected
            forbidden += len(expected)
            watching.append(token)
            reply.append(token)
    assert forbidden > 50 or size == 9


def test_ngrams_do_not_cross_turns_nor_the_reply() -> None:
    watching = NGramBlocker(2, [[1, 2], [3, 4]])
    assert watching.forbidden() == set()  # 4 then anything: that would be an n-gram over the end of a turn
    watching.append(2)
    assert watching.forbidden() == set()  # 2 3 stands there over the end of a turn only
    watching.append(3)
    assert watching.forbidden() == {4}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ngrams_of_a_prefix_count_and_extend_into_the_reply(size: int) -> None:
    source = random.Random(size)
    for _ in range(80):
        whole = random_ids(source, 24)
        begun = whole[: source.randint(0, len(whole))]
        going_on, from_the_start = NGramBlocker(size, [[0, 1, 2]], begun), NGramBlocker(size, [[0, 1, 2]])
        for token in begun:
            from_the_start.append(token)
        for token in whole[len(begun) :]:
            assert going_on.forbidden() == from_the_start.forbidden()
            going_on.append(token)
            from_the_start.append(token)


@pytest.mark.parametrize("words", [2, 5])
def test_run_lengths_are_the_longest_before_each_token(words: int) -> None:
    source = random.Random(words)
    longest = 0
    for _ in range(150):
        said = [random_ids(source, 16, words) for _ in range(source.randint(0, 4))]
        watching, reply = SelfRepetitionPenalty(said), list[int]()
        for token in [*(source.choice(said) if said else []), *random_ids(source, 6, words)]:
            expected = {t: m for t in range(words) if (m := longest_run(said, reply, t))}
            assert watching.run_lengths() == expected
            longest = max([longest, *expected.values()])
            watching.append(token)
            reply.append(token)
    assert longest == LONGEST_RUN


# Whole replies


@pytest.fixture
def network() -> GPT2LMHeadModel:
    """A GPT-2 of eight words, which repeats itself."""
    torch.manual_seed(1)
    sizes: dict[str, Any] = {"n_positions": 64, "n_layer": 1, "n_head": 2, "n_embd": 8, "initializer_range": 0.8}
    return GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, bos_token_id=END, eos_token_id=END, **sizes)).eval()


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
def test_no_reply_repeats_an_ngram_of_any_turn_or_of_itself(network: GPT2LMHeadModel, size: int, sampled: bool) -> None:
    """Only the last turn is in the window: what fell out of it counts too. Without the option there are many."""
    source = random.Random(size)
    requests, plain = list[GenerationRequest](), list[GenerationRequest]()
    for seed in range(40):
        turns = [random_ids(source, 10 if size > 1 else 1, WORDS - 1) or [0] for _ in range(4)]
        context = [END, *turns[-1], END]
        options: dict[str, Any] = {"max_new_tokens": 16, "do_sample": sampled, "temperature": 1.5}
        for batch, penalty in ((requests, size), (plain, None)):
            how = config(**options, **{NO_REPEAT: penalty})
            batch.append(GenerationRequest(context, [0] * len(context), how, seed=seed, history_ids=turns))
    repeated = [0, 0]
    for index, batch in enumerate((requests, plain)):
        for request, ticket in zip(batch, Engine(network).run(batch), strict=True):
            seen = set().union(*(ngrams(size, turn) for turn in request.history_ids))
            repeated[index] += bool(seen & ngrams(size, ticket.tokens))
            repeated[index] += len(ngrams(size, ticket.tokens)) < len(ticket.tokens) - size + 1
    assert repeated[0] == 0 and repeated[1] > 20


def test_a_greedy_reply_with_the_penalty_is_that_of_a_plain_loop(network: GPT2LMHeadModel) -> None:
    source = random.Random(6)
    changed = 0
    for _ in range(15):
        said = [random_ids(source, 12, WORDS - 1) or [0] for _ in range(3)]
        context = [END, *random_ids(source, 6, WORDS - 1), END]
        [ticket] = Engine(network).run(
            [GenerationRequest(context, [0] * len(context), config(**{SELF_REPETITION: 1.5}), own_turn_ids=said)]
        )
        [other] = Engine(network).run([GenerationRequest(context, [0] * len(context), config())])
        reply: list[int] = []
        while len(reply) < 12 and (not reply or reply[-1] != END):
            ids = torch.tensor([context + reply])
            with torch.no_grad():
                logits = network(ids, token_type_ids=torch.zeros_like(ids)).logits[0, -1]
            runs = [0 if t == END else longest_run(said, reply, t) for t in range(WORDS)]
            reply.append(int((logits - 1.5 * torch.tensor(runs)).argmax()))
        assert ticket.tokens == (reply[:-1] if reply[-1] == END else reply)
        changed += ticket.tokens != other.tokens
    assert changed > 5


# What was written in this reply


def plain_reply(network: GPT2LMHeadModel, context: Sequence[int], frequency: float, presence: float) -> list[int]:
    """A greedy reply, all of it read anew for each token."""
    reply: list[int] = []
    while len(reply) < 12:
        ids = torch.tensor([[*context, *reply]])
        with torch.no_grad():
            logits = network(ids, token_type_ids=torch.zeros_like(ids)).logits[0, -1]
        token = int(plainly_penalized(logits, reply, frequency, presence).argmax())
        if token == END:
            break
        reply.append(token)
    return reply


@pytest.mark.parametrize("frequency, presence", PENALTIES)
def test_a_greedy_reply_with_penalties_by_count_is_that_of_a_plain_loop(
    network: GPT2LMHeadModel, frequency: float, presence: float
) -> None:
    source, changed = random.Random(8), 0
    contexts = [[END, *random_ids(source, 6, WORDS - 1), END] for _ in range(12)]
    how = penalized(frequency, presence)
    requests = [
        GenerationRequest(context, [0] * len(context), each) for context in contexts for each in (how, config())
    ]
    result = Engine(network, max_running=5).run(requests)
    for context, ticket, other in zip(contexts, result[::2], result[1::2], strict=True):
        assert ticket.tokens == plain_reply(network, context, frequency, presence)
        assert other.tokens == plain_reply(network, context, 0, 0)
        changed += ticket.tokens != other.tokens
    assert changed > 2 or frequency <= 0


def test_a_sample_with_penalties_by_count_depends_on_its_seed_alone(network: GPT2LMHeadModel) -> None:
    how = penalized(1.0, 0.5, do_sample=True, temperature=1.2)
    requests = [GenerationRequest([END, n % 7, END], [0, 0, 0], how, seed=n) for n in range(16)]
    alone = [Engine(network, max_running=1).run([each])[0].tokens for each in requests]
    assert [ticket.tokens for ticket in Engine(network, max_running=16).run(requests)] == alone
    plain = [
        GenerationRequest([END, n % 7, END], [0, 0, 0], config(do_sample=True, temperature=1.2), seed=n)
        for n in range(16)
    ]
    assert [ticket.tokens for ticket in Engine(network).run(plain)] != alone


def test_the_likelihood_ignores_the_penalties(network: GPT2LMHeadModel) -> None:
    context = [END, 1, 2, END]
    [ticket] = Engine(network).run([GenerationRequest(context, [0] * 4, penalized(2.0, 2.0), scored=True)])
    ids = torch.tensor([[*context, *ticket.tokens, *[END] * (ticket.finish == "end")]])
    with torch.no_grad():
        nats = network(ids, token_type_ids=torch.zeros_like(ids)).logits[0, 3:-1].log_softmax(-1)
    expected = nats.gather(1, ids[0, 4:, None]).sum()
    assert ticket.log_likelihood == pytest.approx(float(expected), abs=1e-4)
