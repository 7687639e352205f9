"""The engine against the model's own uncached forward pass, one conversation at a time."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from convmodel.errors import QueueFull
from convmodel.generation.engine import WORTH_WAITING, Engine
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.options import engine_supports
from convmodel.generation.ragged_attention import SequenceChunk
from convmodel.generation.request import NO_TYPE, GenerationRequest, RequestState
from tests.generation.architectures import make_network

pytestmark = pytest.mark.machine

END = 31
POSITIONS = 48


@pytest.fixture(params=["GPT-2", "scaled by layer"])
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A model of two or three layers whose replies end now and then: a GPT-2, if a test does not ask for another."""
    if request.param in ("llama", "gemma3"):
        return make_network(request.param)
    torch.manual_seed(3)
    by_layer = request.param == "scaled by layer"
    config = GPT2Config(
        vocab_size=32,
        n_positions=POSITIONS,
        n_layer=2,
        n_head=2,
        n_embd=16,
        initializer_range=0.6,
        scale_attn_by_inverse_layer_idx=by_layer,
        bos_token_id=END,
        eos_token_id=END,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        ending = model.transformer.wte.weight[END]
        model.transformer.ln_f.bias += 0.8 * ending / ending.norm()
    return model


def config(**options: Any) -> GenerationConfig:
    return GenerationConfig(**{"do_sample": False, "max_new_tokens": 12, "eos_token_id": [END]} | options)


@torch.no_grad()
def all_logits(network: PreTrainedModel, ids: Sequence[int], types: Sequence[int]) -> torch.Tensor:
    """The whole sequence in one pass, nothing cached: (T, V) after each token."""
    given = {} if NO_TYPE in types else {"token_type_ids": torch.tensor([types])}
    logits: torch.Tensor = cast(Any, network)(torch.tensor([ids]), use_cache=False, **given).logits[0]
    return logits


def logits_of(network: PreTrainedModel, ids: Sequence[int], types: Sequence[int]) -> torch.Tensor:
    """(V,) after the last token."""
    return all_logits(network, ids, types)[-1]


def greedy(network: PreTrainedModel, request: GenerationRequest) -> tuple[list[int], str]:
    """The reply of a plain loop, and why it is over."""
    ids, types, reply = list(request.input_ids), list(request.types), list[int]()
    while True:
        token = int(logits_of(network, ids, types).argmax())
        if token == END:
            return reply, "end"
        reply.append(token)
        if len(reply) == request.config.max_new_tokens or len(ids) == POSITIONS:
            return reply, "length"
        ids.append(token)
        types.append(types[-1])


def check_greedy(network: PreTrainedModel, ticket: RequestState) -> None:
    """That a reply is the greedy one, and is over for the right reason, from one uncached pass over all of it."""
    request, reply = ticket.request, ticket.tokens
    ids = [*request.input_ids, *reply][:POSITIONS]
    types = [*request.types, *[request.types[-1]] * len(reply)][:POSITIONS]
    likeliest = all_logits(network, ids, types)[len(request.input_ids) - 1 :].argmax(-1).tolist()
    assert reply == likeliest[: len(reply)] and END not in reply
    full = len(reply) == request.config.max_new_tokens or len(request.input_ids) + len(reply) > POSITIONS
    if ticket.finish == "end":
        assert likeliest[len(reply)] == END and not full
    elif ticket.finish == "length":
        assert full
    else:
        assert ticket.finish == "cancelled" and not full


def random_request(source: random.Random, longest: int = POSITIONS - 14, **options: Any) -> GenerationRequest:
    count = source.randint(1, longest)
    types = sorted(source.randint(0, 1) for _ in range(count))
    return GenerationRequest([source.randrange(31) for _ in range(count)], types, config(**options))


# The network


@pytest.mark.parametrize("seed", range(10))
def test_logits_are_those_of_the_uncached_model_however_the_rows_are_cut(network: PreTrainedModel, seed: int) -> None:
    source = random.Random(seed)
    cache, reader = KVCache(4, POSITIONS, network.device), ModelRunner(network)
    rows = [random_request(source, POSITIONS) for _ in range(4)]
    read = [0] * 4
    while any(read[n] < len(rows[n].input_ids) for n in range(4)):
        pieces = []
        for n in source.sample(range(4), source.randint(1, 4)):
            size = min(source.randint(1, 9), len(rows[n].input_ids) - read[n])
            if size:
                part = slice(read[n], read[n] + size)
                pieces.append(SequenceChunk(n, read[n], rows[n].input_ids[part], rows[n].types[part]))
                read[n] += size
        if not pieces:
            continue
        for piece, result in zip(pieces, reader.read(pieces, cache), strict=True):
            whole = rows[piece.slot]
            expected = logits_of(network, whole.input_ids[: read[piece.slot]], whole.types[: read[piece.slot]])
            assert torch.allclose(result, expected, atol=1e-4)


# The engine


@pytest.mark.parametrize(("running", "kept", "pieces"), [(1, 1, 1), (3, 3, 5), (8, 11, 256)])
def test_greedy_replies_are_those_of_a_plain_loop(
    network: PreTrainedModel, running: int, kept: int, pieces: int
) -> None:
    source = random.Random(running)
    requests = [random_request(source, max_new_tokens=source.randint(1, 20)) for _ in range(40)]
    requests = [r for r in requests if len(r.input_ids) < POSITIONS]
    engine = Engine(network, max_running=running, max_kept=kept, read_per_step=pieces)
    result = engine.run(requests)
    for ticket in result:
        check_greedy(network, ticket)
    assert {ticket.finish for ticket in result} == {"end", "length"} and not engine.busy


class Talk:
    """A conversation that goes on: its reply is kept, and another turn follows."""

    def __init__(self, source: random.Random, *, typed: bool = True) -> None:
        self.source = source
        self.typed = typed
        self.ids: list[int] = [END]
        self.types: list[int] = [0]
        self.ticket: RequestState | None = None

    def say(self) -> GenerationRequest:
        """Adds a turn and asks for a reply; begins anew when there is no more room."""
        if len(self.ids) > POSITIONS - 20:
            self.ids, self.types = [END], [0]
        turn = [self.source.randrange(31) for _ in range(self.source.randint(1, 5))]
        kind = self.types[-1]
        self.ids += [*turn, END]
        self.types += [*[kind] * len(turn), 1 - kind]
        types = tuple(self.types) if self.typed else None
        return GenerationRequest(tuple(self.ids), types, config(max_new_tokens=self.source.randint(1, 10)))

    def hear(self, reply: list[int]) -> None:
        """Takes the reply, as the next context holds it."""
        kind = self.types[-1]
        self.ids += [*reply, END]
        self.types += [*[kind] * len(reply), 1 - kind]


class Counting(Engine):
    """Counts what happens to its rows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.happened: Counter[str] = Counter()

    def _slot_for(self, request: GenerationRequest) -> Any:
        before = [list(row.ids) for row in self._slots]
        row = super()._slot_for(request)
        if row is None:
            self.happened["waited for a beginning"] += 1
            return row
        self.happened["joined"] += 1
        if row.ids and row.ids == before[row.index]:
            self.happened["went on"] += 1
        elif row.ids:
            self.happened["copied"] += 1
        if before[row.index] and before[row.index] != row.ids:
            self.happened["evicted"] += 1
        return row


@pytest.mark.parametrize(
    ("network", "running", "kept", "pieces", "talks", "packed", "graphs"),
    [
        ("GPT-2", 1, 2, 3, 6, False, False),
        ("scaled by layer", 4, 4, 7, 12, True, False),
        ("scaled by layer", 3, 9, 40, 14, False, True),
        ("GPT-2", 12, 16, 13, 30, True, True),
        pytest.param("llama", 4, 6, 7, 12, True, False, marks=pytest.mark.slow),
        pytest.param("gemma3", 4, 6, 13, 12, True, True, marks=pytest.mark.slow),
    ],
    indirect=["network"],
)
def test_thousands_of_joins_leaves_cancellations_and_evictions_change_no_reply(
    network: PreTrainedModel, running: int, kept: int, pieces: int, talks: int, packed: bool, graphs: bool
) -> None:
    """Conversations of many turns, more of them than rows; some replies are given up, waiting or half-way."""
    source = random.Random(f"{running} {kept} {packed}")
    engine = Counting(network, max_running=running, max_kept=kept, read_per_step=pieces, packed=packed, graphs=graphs)
    talking = [Talk(source, typed=isinstance(network, GPT2LMHeadModel)) for _ in range(talks)]
    ended: Counter[str] = Counter()
    for _ in range(700):
        for talk in talking:
            if talk.ticket is None and source.random() < 0.3:
                talk.ticket = engine.submit(talk.say())
            elif talk.ticket is not None and source.random() < 0.015:
                talk.ticket.cancel()
        engine.step()
        for talk in talking:
            if talk.ticket is None or talk.ticket.finish is None:
                continue
            ended[talk.ticket.finish] += 1
            check_greedy(network, talk.ticket)
            talk.hear(talk.ticket.tokens)
            talk.ticket = None
    assert min(ended[why] for why in ("end", "length", "cancelled")) > 5, ended
    assert engine.happened["joined"] > 40 * running and engine.happened["evicted"] > 50, engine.happened
    assert engine.happened["went on"] + engine.happened["copied"] > 50, engine.happened


def test_the_next_turn_of_a_conversation_only_reads_what_is_new(network: PreTrainedModel) -> None:
    engine = Engine(network, max_running=2, max_kept=2)
    talk = Talk(random.Random(0))
    for _ in range(6):
        before, request = engine.tokens_read, talk.say()
        known = 0 if len(request.input_ids) < 10 else None
        [ticket] = engine.run([request])
        assert ticket.tokens == greedy(network, request)[0]
        read = engine.tokens_read - before
        if known is None and len(talk.ids) > 10:
            assert read <= 1 + 6 + len(ticket.tokens)  # the reply's end, the new turn with its separator, the reply
        talk.hear(ticket.tokens)


def test_a_shared_beginning_is_read_once(network: PreTrainedModel) -> None:
    """Many replies to one context: the first row reads it, the others copy."""
    engine = Engine(network, max_running=1, max_kept=4)
    request = random_request(random.Random(5), 30)
    request = replace(request, config=config(do_sample=True, temperature=2.0, max_new_tokens=4))
    engine.run([replace(request, seed=seed) for seed in range(4)])
    assert engine.tokens_read <= len(request.input_ids) + 3 + 4 * 4


def test_a_sample_depends_on_its_seed_alone(network: PreTrainedModel) -> None:
    source = random.Random(9)
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.5, "top_k": 20, "top_p": 0.95, "max_new_tokens": 16}
    requests = [replace(random_request(source, 30, **options), seed=seed) for seed in range(32)]
    alone = [Engine(network, max_running=1).run([request])[0].tokens for request in requests]
    together = Engine(network, max_running=32, read_per_step=37).run(requests)
    assert [ticket.tokens for ticket in together] == alone
    other = Engine(network).run([replace(request, seed=99) for request in requests])
    assert [ticket.tokens for ticket in other] != alone


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[1], [2, 3], [7]]},
        {"min_new_tokens": 9},
        {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_new_tokens": 4, "bad_words_ids": [[5]]},
    ],
    ids=" ".join,
)
def test_greedy_options_do_what_they_do_in_transformers(network: PreTrainedModel, options: dict[str, Any]) -> None:
    source = random.Random(1)
    requests = [random_request(source, 20, **options) for _ in range(12)]
    for request, ticket in zip(requests, Engine(network, max_running=5).run(requests), strict=True):
        ids = torch.tensor([request.input_ids])
        types = torch.tensor([request.token_type_ids])
        expected = (
            cast(Any, network)
            .generate(
                input_ids=ids,
                token_type_ids=types,
                attention_mask=torch.ones_like(ids),
                generation_config=config(pad_token_id=END, **options),
            )[0, ids.shape[1] :]
            .tolist()
        )
        assert ticket.tokens == expected[: expected.index(END) if END in expected else None]


def test_the_engine_knows_which_options_it_does_not_support() -> None:
    assert engine_supports(config(do_sample=True, temperature=0.5, top_k=5, top_p=0.9, min_p=0.1, pad_token_id=3))
    for options in ({"num_beams": 2}, {"stop_strings": ["a"]}, {"penalty_alpha": 0.6}, {"guidance_scale": 2.0}):
        assert not engine_supports(config(**options))


def test_a_cancelled_request_frees_its_slot_at_the_next_step(network: PreTrainedModel) -> None:
    engine = Engine(network, max_running=1, max_kept=1)
    first, second = (engine.submit(random_request(random.Random(n), 5, min_new_tokens=8)) for n in range(2))
    waiting = engine.submit(random_request(random.Random(3), 5))
    engine.step()
    assert first.tokens and not second.tokens
    first.cancel()
    waiting.cancel()
    assert {first, waiting} <= set(engine.step())
    assert first.finish == waiting.finish == "cancelled" and not waiting.tokens
    assert len(second.tokens) == 1


def test_the_queue_is_bounded_and_bad_requests_are_refused(network: PreTrainedModel) -> None:
    engine = Engine(network, max_running=1, max_waiting=2)
    request = random_request(random.Random(0), 5)
    for _ in range(2):
        engine.submit(request)
    with pytest.raises(QueueFull, match="2 requests are waiting"):
        engine.submit(request)
    assert len(engine.run([request] * 9)) == 9  # run waits for places by working
    for ids, types in (([], []), ([1], [0, 0]), ([1] * POSITIONS, [0] * POSITIONS)):
        with pytest.raises(ValueError, match="there must be as many of both, from 1 to 47"):
            engine.submit(GenerationRequest(ids, types, config()))
    with pytest.raises(ValueError, match="max_running=3, max_kept=2"):
        Engine(network, max_running=3, max_kept=2)


@pytest.mark.parametrize("pieces", [4, 256])
def test_several_replies_to_one_context_read_it_once(network: PreTrainedModel, pieces: int) -> None:
    """At once, while the first of them is still reading it."""
    request = random_request(random.Random(5), 30, do_sample=True, temperature=2.0, max_new_tokens=4)
    request = replace(request, input_ids=[3] * 30, token_type_ids=[0] * 30)
    engine = Engine(network, max_running=8, read_per_step=pieces)
    tickets = engine.run([replace(request, seed=seed) for seed in range(8)])
    written = sum(len(ticket.tokens) - (ticket.finish != "end") for ticket in tickets)
    # Each reads the last token of the context anew, for its logits, or the rest that was not worth waiting for.
    assert engine.tokens_read - written <= 30 + 7 * (1 if pieces > 30 else WORTH_WAITING)
    assert len({tuple(ticket.tokens) for ticket in tickets}) > 4


def test_requests_that_wait_for_a_cancelled_one_read_the_context_themselves(network: PreTrainedModel) -> None:
    request = GenerationRequest([3] * 30, [0] * 30, config())
    engine = Engine(network, max_running=4, read_per_step=5)
    tickets = [engine.submit(request) for _ in range(3)]
    engine.step()
    assert engine.waiting == 2
    tickets[0].cancel()
    while engine.busy:
        engine.step()
    assert [ticket.tokens for ticket in tickets] == [[], *[greedy(network, request)[0]] * 2]


def test_the_likelihood_of_a_reply_is_that_of_its_tokens_and_its_end(network: PreTrainedModel) -> None:
    """Under the model itself: penalties and temperatures that chose the tokens do not count."""
    source = random.Random(2)
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.8, "repetition_penalty": 1.4, "max_new_tokens": 6}
    requests = [
        replace(random_request(source, 20, **options), seed=seed, scored=seed % 4 > 0, stop=[4].__contains__)
        for seed in range(40)
    ]
    finishes = set()
    for request, ticket in zip(requests, Engine(network, max_running=7).run(requests), strict=True):
        finishes.add(ticket.finish)
        if not request.scored:
            assert ticket.log_likelihood == ticket.per_token == 0.0
            continue
        said = [*ticket.tokens, *([END] if ticket.finish == "end" else [])]
        expected, ids, types = 0.0, list(request.input_ids), list(request.types)
        for token in said:
            expected += float(logits_of(network, ids, types).double().log_softmax(-1)[token])
            ids.append(token)
            types.append(types[-1])
        assert ticket.log_likelihood == pytest.approx(expected, abs=1e-4)
        assert ticket.per_token == pytest.approx(expected / len(said), abs=1e-4)
    assert finishes == {"end", "length", "stop"}


def test_stop_is_called_with_every_token_and_ends_the_reply(network: PreTrainedModel) -> None:
    source = random.Random(8)
    stopped = 0
    for _ in range(30):
        request = random_request(source, 20)
        whole, why = greedy(network, request)
        at, heard = source.randint(1, 12), list[int]()

        def stop(token: int, at: int = at, heard: list[int] = heard) -> bool:
            heard.append(token)
            return len(heard) == at

        [ticket] = Engine(network).run([replace(request, stop=stop)])
        assert ticket.tokens == heard == whole[:at]
        assert ticket.finish == ("stop" if len(whole) >= at else why)
        stopped += ticket.finish == "stop"
    assert 5 < stopped < 30


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1e-300, "do_sample": True},
        {"temperature": 1e300, "do_sample": True, "min_new_tokens": 2},
        {"temperature": 2, "do_sample": True},
        {"repetition_penalty": 2},
        {"repetition_penalty": 1e-300, "do_sample": True},
        {"bad_words_ids": [[i] for i in range(31)], "min_new_tokens": 3},
        {"bad_words_ids": [[END]]},
        {"bad_words_ids": []},
        {"eos_token_id": [END, 10**9], "bad_words_ids": [[i] for i in range(31)], "do_sample": True},
    ],
    ids=str,
)
def test_an_end_token_of_one_request_does_not_end_other_replies(
    network: PreTrainedModel, options: dict[str, Any]
) -> None:
    source = random.Random(4)
    other, odd = random_request(source, 20), random_request(source, 20, **options)
    result, strange = Engine(network).run([other, odd])
    assert (result.tokens, result.finish) == greedy(network, other)
    assert strange.finish in ("end", "length")


def test_ids_outside_the_vocabulary_fail_only_their_own_request(network: PreTrainedModel) -> None:
    engine = Engine(network)
    with pytest.raises(ValueError, match=r"The model vocabulary size is 32.*\[99\]"):
        engine.submit(random_request(random.Random(0), 5, bad_words_ids=[[1, 99]]))
    assert not engine.busy
