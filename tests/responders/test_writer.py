"""The writer against replies written alone, and against an uncached plain loop over whole conversations."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from convmodel.errors import QueueFull
from convmodel.generation.engine import Engine
from convmodel.generation.options import PRESETS
from convmodel.models.conversation_model import ConversationModel
from convmodel.responders.engine_thread import EngineThread
from convmodel.responders.protocol import Reply, ReplyHandle, Responder, Session
from convmodel.responders.writer import Writer
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.turn_windows import truncate_with_hysteresis
from tests.conftest import MakeModel, random_turns
from tests.models.test_conversation_model import with_layout

pytestmark = pytest.mark.machine

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 8}
SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 1.3, "top_p": 0.95, "max_new_tokens": 10}
LONG: dict[str, Any] = {"do_sample": False, "max_new_tokens": 55, "min_new_tokens": 55}
"""Takes a while, so that something can happen meanwhile."""


@pytest.fixture
def small(make_model: MakeModel) -> ConversationModel:
    """A GPT-2 of 64 positions whose replies often end by themselves."""
    return make_model(ending=2.0)


@pytest.fixture
def writer(small: ConversationModel) -> Iterator[Writer]:
    with Writer(small) as writer:
        yield writer


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise TimeoutError("it did not come true in ten seconds")


def idle(writer: Writer) -> bool:
    thread = writer._thread
    return not thread._running and not thread._is_busy and not thread._arrived


def contexts(count: int) -> list[list[str]]:
    source = random.Random(0)
    return [random_turns(source, max_turns=2, max_pieces=3) for _ in range(count)]


# One reply


def test_counted_tokens_are_those_that_a_reply_reads(writer: Writer) -> None:
    for context in contexts(20):
        reply = writer.start(context, persona=["I am old."], options=GREEDY).result()
        counted = writer.count_tokens(context, ["I am old."])
        assert counted - reply.tokens_dropped - reply.turns_dropped == reply.context_tokens
    with pytest.raises(ValueError, match="turn"):
        writer.count_tokens([])


def test_a_writer_is_a_responder(writer: Writer) -> None:
    responder: Responder = writer
    replying: ReplyHandle[Reply] = responder.start(["Hello"])
    assert isinstance(replying.result(), Reply) and responder.presets is PRESETS


def test_a_single_turn_that_is_too_long_is_cut_and_the_reply_says_so(writer: Writer) -> None:
    reply = writer.start(["Hello there. " * 60], options=GREEDY).result()
    read = writer.model.tokenizer(["Hello there. " * 60])["input_ids"]
    assert reply.turns_dropped == 0 and reply.context_tokens <= 64 - 8
    assert reply.context_tokens + reply.tokens_dropped == len(read)
    assert writer.start(["Hello there."], options=GREEDY).result().tokens_dropped == 0


@pytest.mark.parametrize(
    "options", [GREEDY, SAMPLED, SAMPLED | {"stop_strings": ["e", "ou"]}, PRESETS["balanced"] | {"max_new_tokens": 10}]
)
def test_joined_pieces_are_the_reply_and_that_of_generate(writer: Writer, options: dict[str, Any]) -> None:
    for seed, context in enumerate(contexts(12)):
        replying = writer.start(context, options=options, seed=seed)
        text = "".join(replying)
        reply = replying.result()
        assert text == reply.text == writer.model.generate(context, seed=seed, **options).responses[0]
        assert reply.seed == (seed if options["do_sample"] else None)
        assert "".join(replying) == text and list(replying) == ([text] if text else [])  # again, and once more
        assert 0 <= reply.first_seconds <= reply.seconds
        assert reply.context_tokens == len(writer.model.tokenizer(context)["input_ids"])
        assert reply.window == 64 and reply.turns_dropped == 0


def test_the_seed_of_a_reply_reproduces_it(writer: Writer) -> None:
    first = writer.start(["Hello"], options=SAMPLED).result()
    assert first.seed is not None
    assert writer.start(["Hello"], options=SAMPLED, seed=first.seed).result().text == first.text
    others = {writer.start(["Hello"], options=SAMPLED).result().text for _ in range(5)}
    assert len(others) > 2


def test_the_same_seed_is_the_same_reply_alone_among_32_and_from_a_new_writer(small: ConversationModel) -> None:
    requests = contexts(32)
    with Writer(small, max_running=32) as writer:
        alone = [writer.start(context, options=SAMPLED, seed=n).result().text for n, context in enumerate(requests)]
        replying = [writer.start(context, options=SAMPLED, seed=n) for n, context in enumerate(requests)]
        assert [handle.result().text for handle in replying] == alone
    with Writer(small, max_running=3, max_kept=5) as writer:
        order = random.Random(1).sample(range(32), 32)
        replying = [writer.start(requests[n], options=SAMPLED, seed=n) for n in order]
        assert [handle.result().text for handle in replying] == [alone[n] for n in order]
    assert len(set(alone)) > 20


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_32_clients_get_the_same_replies_to_90_seeded_requests_twice(
    make_model: MakeModel, tmp_path: Path, dtype: str
) -> None:
    make_model(ending=2.0).save_pretrained(tmp_path / "model")
    model = ConversationModel.from_pretrained(tmp_path / "model", device="cpu", dtype=dtype)
    requests = [(context, seed) for seed, context in enumerate(contexts(90))]

    with Writer(model, max_running=8) as serving:

        def ask(request: tuple[list[str], int]) -> str:
            return serving.start(request[0], options=SAMPLED, seed=request[1]).result().text

        alone = [ask(request) for request in requests]
        for _ in range(2):
            with ThreadPoolExecutor(32) as clients:
                assert list(clients.map(ask, requests)) == alone
    assert len(set(alone)) > 60


def test_a_persona_stays_when_turns_are_left_out(writer: Writer) -> None:
    persona, turns = ["I like the rain."], ["Hello there.", "Hi, how are you?"] * 9
    reply = writer.start(turns, persona=persona, options=GREEDY).result()
    assert reply.turns_dropped > 0 and reply.context_tokens <= 64 - 8
    kept = turns[reply.turns_dropped :]
    assert reply.text == writer.model.generate(kept, persona=persona, **GREEDY).responses[0]
    assert reply.context_tokens == len(writer.model.tokenizer(kept, persona=persona)["input_ids"])


@pytest.mark.parametrize(
    ("context", "given", "error", "message"),
    [
        ([], {}, ValueError, "there are no turns"),
        ("Hello", {}, TypeError, "not a list"),
        (["Hello", ""], {}, ValueError, "turn 2 is empty"),
        (["Hello"], {"persona": ["I like rain. " * 20]}, ValueError, "leave no room for a turn"),
        (["Hello"], {"options": {"temprature": 1}}, ValueError, "did you mean temperature"),
        (["Hello"], {"options": {"temperature": "hot"}}, ValueError, "temperature='hot'; allowed are"),
        (["Hello"], {"options": {"max_new_tokens": 62}}, ValueError, "allowed are 1 to 61"),
        (
            ["Hello"],
            {"options": {"num_beams": 2, "self_repetition_penalty": 1}},
            ValueError,
            "self_repetition_penalty needs",
        ),
        (["Hello"], {"seed": -1}, ValueError, "seed=-1; allowed are whole numbers from 0"),
        (["Hello"], {"seed": 2**63}, ValueError, "seed=9223372036854775808; allowed"),
        (["Hello"], {"seed": True}, ValueError, "seed=True; allowed"),
    ],
)
def test_an_invalid_request_is_an_error_at_once(
    writer: Writer, context: Any, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        writer.start(context, **given)
    assert writer.start(["Hello"], options=GREEDY).result().finish in ("end", "length")


def test_options_that_transformers_rejects_fail_only_their_request(writer: Writer) -> None:
    other = writer.start(["Hello"], options=LONG)
    for options, message in (
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences"),
        ({"bad_words_ids": [[10**6]]}, "vocabulary size is 320"),
        ({"num_beams": 2, "suppress_tokens": "abc"}, "."),
    ):
        with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
            writer.start(["Hello"], options=options).result()
    assert other.result().reply_tokens == 55


def test_beams_are_those_of_generate(writer: Writer) -> None:
    options: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6, "do_sample": False}
    replying = [writer.start(context, options=options) for context in contexts(3)]
    for context, each in zip(contexts(3), replying, strict=True):
        assert "".join(each) == each.result().text == writer.model.generate(context, **options).responses[0]


def test_sampled_beams_depend_only_on_their_seed(writer: Writer) -> None:
    """transformers' generate draws from torch's global generator: nobody else may meanwhile."""
    options: dict[str, Any] = {"num_beams": 2, "do_sample": True, "temperature": 2.0, "max_new_tokens": 12}
    expected = [writer.model.generate(["Hello"], seed=seed, **options).responses[0] for seed in range(4)]
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            writer.start(["Hello"], options=SAMPLED | {"max_new_tokens": 1}).result()

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        replying = [writer.start(["Hello"], options=options, seed=seed) for seed in range(4)]
        texts = [handle.result().text for handle in replying]
    finally:
        done.set()
        for thread in asking:
            thread.join(10)
    assert texts == expected and len(set(expected)) > 1


def test_null_is_the_default_of_the_writer(small: ConversationModel) -> None:
    with Writer(small, options=GREEDY | {"repetition_penalty": 1.2}) as writer:
        assert writer.options.items() >= (GREEDY | {"repetition_penalty": 1.2}).items()
        plain = writer.start(["Hello"]).result().text
        nulls = dict.fromkeys(["do_sample", "max_new_tokens", "repetition_penalty", "top_p", "stop_strings"])
        assert writer.start(["Hello"], options=nulls).result().text == plain
        assert writer.start(["Hello"], options=writer.options).result().text == plain
        assert writer.start(["Hello"], options={"max_new_tokens": 1}).result().reply_tokens == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep=0; allowed are numbers above 0"),
        ({"keep": 1.5}, "keep=1.5"),
        ({"max_waiting": 0}, "max_waiting=0; it must be at least 1"),
        ({"max_running": 0}, "max_running=0"),
        ({"max_kept": 2}, "max_running=32, max_kept=2"),
        ({"options": {"top_p": 3}}, "top_p=3; allowed"),
        ({"options": {"top": 3}}, "there is no option 'top'"),
    ],
)
def test_an_invalid_writer_is_an_error_and_leaves_no_thread(
    small: ConversationModel, options: dict[str, Any], message: str
) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match=message):
        Writer(small, **options)
    assert threading.active_count() == before


# Conversations


def plain_reply(model: ConversationModel, ids: Sequence[int], types: Sequence[int]) -> list[int]:
    """Greedy, nothing cached, at most eight tokens, never empty."""
    reply: list[int] = []
    sep = model.tokenizer.sep_token_id
    while len(reply) < 8:
        row, kinds = [*ids, *reply], [*types, *[types[-1]] * len(reply)]
        with torch.no_grad():
            logits = model.hf_model(torch.tensor([row]), token_type_ids=torch.tensor([kinds])).logits[0, -1]
        if not reply:
            logits[sep] = -math.inf
        if int(logits.argmax()) == sep:
            break
        reply.append(int(logits.argmax()))
    return reply


class Talk:
    """A conversation whose every token is known: what is read again are the tokens that were written."""

    def __init__(self, index: int) -> None:
        self.source = random.Random(index)
        self.turns: list[str] = []
        self.ids: list[list[int]] = []
        self.persona = ["I like rain."] if index % 3 == 0 else []
        self.session = Session()

    def say(self, model: ConversationModel) -> None:
        [text] = random_turns(self.source, max_turns=1, max_pieces=5)
        self.turns.append(text)
        self.ids.append(model.tokenizer.encode(text))

    def expected(self, model: ConversationModel) -> list[int]:
        sentences = model.tokenizer.encode_many(self.persona)
        room = 64 - 8 - 1 - sum(len(ids) + 1 for ids in sentences)
        window = truncate_with_hysteresis([len(ids) for ids in self.ids], room, keep=0.5)
        kept = [list(ids) for ids in self.ids[window.first :]]
        kept[-1] = kept[-1][window.cut :]
        whole = SeparatorLayout(model.tokenizer.sep_token_id).lay_out(kept, persona=sentences)
        return plain_reply(model, whole.input_ids, whole.token_type_ids)


@pytest.mark.parametrize(("running", "kept"), [(4, 4), (2, 9)])
def test_ten_turns_of_many_conversations_are_those_of_a_plain_loop(
    small: ConversationModel, running: int, kept: int
) -> None:
    """Six at once in fewer rows, turns left out again and again, neighbours given up half-way."""
    talks = [Talk(index) for index in range(6)]
    dropped = otherwise = 0
    with Writer(small, options=GREEDY, max_running=running, max_kept=kept) as writer:
        for turn in range(10):
            replying = []
            for talk in talks:
                talk.say(small)
                replying.append(writer.start(talk.turns, persona=talk.persona, session=talk.session))
                if turn % 2:
                    writer.start(["Hello"], options=LONG).cancel()
            for talk, each in zip(talks, replying, strict=True):
                reply, expected = each.result(), talk.expected(small)
                assert reply.text == small.tokenizer.decode(expected) and reply.reply_tokens == len(expected)
                dropped += reply.turns_dropped > 0
                text = reply.text if reply.text.strip() else "a"
                remembered = talk.session.ids.get((len(talk.turns), text))
                assert remembered == (tuple(expected) if reply.text.strip() else None)
                talk.turns.append(text)
                talk.ids.append(expected if reply.text.strip() else small.tokenizer.encode(text))
                otherwise += talk.ids[-1] != small.tokenizer.encode(text)
    assert dropped > 20 and otherwise > 10  # texts that the tokenizer would have written with other tokens


def test_the_next_turn_of_a_session_only_reads_what_is_new(small: ConversationModel) -> None:
    with Writer(small, options=GREEDY | {"max_new_tokens": 4}) as writer:
        session, turns = Session(), ["Hello"]
        writer_read = []
        for _ in range(3):
            before = writer.load.tokens_read
            reply = writer.start(turns, session=session).result()
            wait_until(lambda: idle(writer))
            writer_read.append(writer.load.tokens_read - before)
            turns += [reply.text, "a"]
        assert turns[-1] == "a" and all(turn.strip() for turn in turns)
        # The reply's last token, its end, the new turn and its end; then the reply but for its last token.
        assert all(read <= 1 + 1 + 1 + 1 + 3 for read in writer_read[1:]), writer_read


# Giving up


def test_a_reply_can_be_cancelled_at_any_moment_and_frees_its_slot(small: ConversationModel) -> None:
    source = random.Random(0)
    whole = small.generate(["Hello"], **LONG).responses[0]
    ends = []
    with Writer(small, max_running=2, max_waiting=10_000) as writer:
        for index in range(40):
            replying = writer.start(["Hello"], options=LONG)
            if index % 4 == 1:
                next(iter(replying))
            elif index % 4 == 2:
                time.sleep(source.random() / 10_000)
            elif index % 4 == 3 and index % 8 == 3:
                replying.result()
            giving_up = threading.Thread(target=replying.cancel)
            giving_up.start()
            replying.cancel()
            giving_up.join()
            reply = replying.result()
            replying.cancel()
            ends.append(reply.finish)
            assert whole.startswith(reply.text.rstrip("\ufffd")) and "".join(replying) in (reply.text, "")
            assert replying.result() is reply
        wait_until(lambda: idle(writer))
        assert writer.start(["Hello"], options=LONG).result().text == whole
    assert set(ends) == {"cancelled", "length"} and ends.count("cancelled") >= 5  # the engine is quick


def test_a_beam_search_can_be_cancelled(small: ConversationModel) -> None:
    options = LONG | {"num_beams": 8}
    steps, half = 0, threading.Event()

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            half.set()
            time.sleep(0.2)

    small.hf_model.register_forward_pre_hook(count)
    with Writer(small) as writer:
        replying = writer.start(["Hello"], options=options)
        assert half.wait(10)
        replying.cancel()
        reply = replying.result()
        assert reply.finish == "cancelled" and 0 < reply.reply_tokens < 55 and steps < 20
        again = writer.start(["Hello"], options=GREEDY | {"num_beams": 2})
        assert again.result().finish in ("end", "length")
    half.clear()
    writer, steps = Writer(small), 0
    replying = writer.start(["Hello"], options=options)
    assert half.wait(10)
    writer.close()
    with pytest.raises(RuntimeError, match="the writer was closed before the reply was written"):
        replying.result()
    assert 5 <= steps < 20


def test_a_waiting_request_ends_when_it_is_cancelled_while_others_run(small: ConversationModel) -> None:
    with Writer(small, max_running=1) as writer:
        first, waiting = (writer.start(["Hello"], options=LONG) for _ in range(2))
        waiting.cancel()
        reply = waiting.result()
        assert (reply.text, reply.finish, reply.reply_tokens) == ("", "cancelled", 0)
        assert first.result().reply_tokens == 55


# Several candidates


def test_candidates_are_ranked_by_likelihood_as_score_ranks_them(make_model: MakeModel) -> None:
    model = make_model(ending=6.0)
    options = SAMPLED | {"num_return_sequences": 12, "max_new_tokens": 20}
    compared = 0
    with Writer(model) as writer:
        for seed, context in enumerate(contexts(8)):
            replying = writer.start(context, options=options, seed=seed)
            pieces, reply = list(replying), replying.result()
            assert len(pieces) <= 1 and "".join(pieces) == reply.text
            texts = [candidate.text for candidate in reply.candidates]
            scores = [candidate.score for candidate in reply.candidates]
            assert len(set(texts)) == len(texts) <= 12
            assert scores == sorted(scores, reverse=True, key=lambda score: score if score is not None else -math.inf)
            for text, score in zip(texts, scores, strict=True):
                if not text.strip():
                    assert score == -math.inf
                    continue
                expected = model.score(context, [text]).per_token[0]
                # Where it was written in the very tokens that the tokenizer takes, and ended.
                compared += score == pytest.approx(expected, abs=1e-4)
    assert compared > 15


class By:
    """A scorer that returns given scores."""

    def __init__(self, say: Callable[[Sequence[str]], Any]) -> None:
        self.say = say

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> Any:
        return self.say(candidates)


SEVERAL = SAMPLED | {"num_return_sequences": 5}


def test_a_given_scorer_decides(small: ConversationModel) -> None:
    with Writer(small, scorer=By(lambda texts: [-len(text) for text in texts])) as writer:
        reply = writer.start(["Hello"], options=SEVERAL, seed=1).result()
        lengths = [len(candidate.text) for candidate in reply.candidates]
        assert lengths == sorted(lengths) and len(lengths) > 1
        assert [candidate.score for candidate in reply.candidates] == [-n for n in lengths]
        reply = writer.start(["Hello"], options=SAMPLED, seed=1).result()
        assert [candidate.score for candidate in reply.candidates] == [None]


def fail(texts: Sequence[str]) -> Any:
    raise ZeroDivisionError("the scorer failed")


@pytest.mark.parametrize(
    ("say", "error", "message"),
    [
        (fail, ZeroDivisionError, "the scorer failed"),
        (lambda texts: [math.nan] * len(texts), ValueError, "the scorer gave .*nan"),
        (lambda texts: [1.0], ValueError, "for 5 candidates; give one number for each"),
        (lambda texts: None, TypeError, "NoneType"),
    ],
    ids=["raises", "nan", "too few", "nothing"],
)
def test_a_failing_scorer_fails_only_its_request(
    small: ConversationModel, say: Any, error: type[Exception], message: str
) -> None:
    with Writer(small, scorer=By(say)) as writer:
        replying = writer.start(["Hello"], options=SEVERAL)
        other = writer.start(["Hello"], options=GREEDY)
        for _ in range(2):
            with pytest.raises(error, match=message):
                replying.result()
        with pytest.raises(error, match=message):
            list(replying)
        assert other.result().text == writer.start(["Hello"], options=GREEDY).result().text


# Limits and errors


class Gate:
    """Holds the engine's steps up until it is opened, or lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.failing, self.steps = threading.Event(), 0, 0
        step = Engine.step

        def gated(engine: Engine) -> Any:
            assert self.open.wait(10)
            self.steps += 1
            if self.failing:
                self.failing -= 1
                raise RuntimeError("the device is gone")
            return step(engine)

        monkeypatch.setattr(Engine, "step", gated)


def test_the_queue_is_bounded(small: ConversationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    with Writer(small, options=GREEDY, max_running=2, max_waiting=3) as writer:
        taken = [writer.start(["Hello"])]
        wait_until(lambda: not writer._thread._arrived)
        with pytest.raises(QueueFull, match="5 requests are open, the maximum; try again later"):
            for _ in range(50):
                taken.append(writer.start(["Hello"]))
        assert len(taken) == 5  # two are written, three wait
        gate.open.set()
        assert len({handle.result().text for handle in taken}) == 1
        assert writer.start(["Hello"]).result().text == taken[0].result().text


def test_an_error_in_a_step_fails_the_running_requests_and_the_writer_continues(
    small: ConversationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    gate.failing = 1
    with Writer(small, options=GREEDY, max_running=2) as writer:
        failed = [writer.start(["Hello"]) for _ in range(4)]
        wait_until(lambda: len(writer._thread._running) + len(writer._thread._arrived) == 4)
        gate.open.set()
        num_errors = 0
        for handle in failed:
            try:
                handle.result()
            except RuntimeError as error:
                assert str(error) == "the device is gone"
                with pytest.raises(RuntimeError, match="the device is gone"):
                    list(handle)
                num_errors += 1
        assert num_errors >= 1
        assert writer.start(["Hello"]).result().text == small.generate(["Hello"], **GREEDY).responses[0]
        wait_until(lambda: idle(writer))


def test_no_request_is_left_waiting_when_no_new_engine_can_be_created(
    small: ConversationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    gate.failing = 1
    writer = Writer(small, options=GREEDY)
    monkeypatch.setattr(EngineThread, "_new_engine", lambda self: fail([]))
    replying = writer.start(["Hello"])
    gate.open.set()
    with pytest.raises(RuntimeError, match="the device is gone"):
        replying.result()
    writer._thread._thread.join(10)
    with pytest.raises(RuntimeError, match="the writer is closed"):
        writer.start(["Hello"])
    writer.close()


def test_closing_ends_everything_with_an_error_and_leaves_no_thread(small: ConversationModel) -> None:
    before = threading.active_count()
    writer = Writer(small, options=LONG, max_running=2)
    running = [writer.start(["Hello"]) for _ in range(200)]
    next(iter(running[0]))
    heard: list[Exception] = []

    def hear(each: ReplyHandle[Reply]) -> None:
        try:
            "".join(each)
        except RuntimeError as error:
            heard.append(error)

    listening = [threading.Thread(target=hear, args=(handle,)) for handle in running[-4:]]
    for thread in listening:
        thread.start()
    writer.close()
    writer.close()
    for thread in listening:
        thread.join(10)
    assert [str(error) for error in heard] == ["the writer was closed before the reply was written"] * 4
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="the writer is closed; make a new one"):
        writer.start(["Hello"])
    running[0].cancel()


def test_a_finished_reply_stays_after_closing(small: ConversationModel) -> None:
    with Writer(small, options=GREEDY) as writer:
        replying = writer.start(["Hello"])
        replying.result()
    assert "".join(replying) == replying.result().text == small.generate(["Hello"], **GREEDY).responses[0]


def test_eight_threads_at_once_get_the_replies_that_one_gets(small: ConversationModel) -> None:
    requests = contexts(24)
    expected = [small.generate(context, seed=n, **SAMPLED).responses[0] for n, context in enumerate(requests)]
    several = [
        small.generate(context, seed=n, scorer="likelihood", **SEVERAL).responses for n, context in enumerate(requests)
    ]
    wrong: list[Any] = []
    with Writer(small, max_running=5, max_kept=7) as writer:

        def ask(offset: int) -> None:
            for n in range(offset, 24, 2):
                if "".join(writer.start(requests[n], options=SAMPLED, seed=n)) != expected[n]:
                    wrong.append(n)
                reply = writer.start(requests[n], options=SEVERAL, seed=n, session=Session()).result()
                if [candidate.text for candidate in reply.candidates] != several[n]:
                    wrong.append((n, "several"))

        threads = [threading.Thread(target=ask, args=(index % 2,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        wait_until(lambda: idle(writer))
    assert wrong == []


@pytest.mark.parametrize("name", ["chatml", "gemma", "mistral, system last"])
def test_a_session_by_a_chat_template_reads_only_what_is_new_and_replies_as_without(name: str) -> None:
    model = with_layout(name, n_positions=400)
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6}
    with Writer(model) as writer:
        session = Session()
        context: list[str] = []
        for said in ("Hello", "I like rain", "And you?", "the piano"):
            context.append(said)
            reply = writer.start(context, persona=["I like rain"], options=options, session=session).result()
            count = writer.count_tokens(context, ["I like rain"])
            assert abs(reply.context_tokens - count) <= 8 * len(context)  # ids of replies may differ from their texts'
            if len(context) == 1:
                assert reply.text == model.generate(context, persona=["I like rain"], **options).responses[0]
            if len(context) > 1 and name != "mistral, system last":
                assert reply.context_tokens - reply.cached_tokens < 30
            context.append(reply.text if reply.text.strip() else "you")
