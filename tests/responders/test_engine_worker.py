"""How busy something is and what it had to read, against what was asked of it; and searching without a reply."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convmodel.generation.engine import Engine
from convmodel.models.conversation_model import ConversationModel
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid
from convmodel.responders.protocol import CandidateSearch, Load, Session
from convmodel.responders.writer import Writer
from tests.conftest import TEXTS, MakeModel, MakeSelector
from tests.fakes import FakeResponder
from tests.responders.test_writer import wait_until

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}
CONTEXT = ["Hello, how are you?", "I am fine, thanks."]


@pytest.fixture
def small(make_model: MakeModel) -> ConversationModel:
    return make_model(n_positions=128)


class Gate:
    """Holds the engine when so many are written, until it may go on; a step fails where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int = 1) -> None:
        self.open, self.failing = threading.Event(), False
        step = Engine.step

        def gated(engine: Engine) -> Any:
            if len(engine.running) >= rows:
                assert self.open.wait(30)
                if self.failing:
                    self.failing = False
                    raise RuntimeError("the device is gone")
            return step(engine)

        monkeypatch.setattr(Engine, "step", gated)


# What was read


def test_cached_tokens_are_those_that_were_read_before(small: ConversationModel) -> None:
    session, context = Session(), ["Hello, how are you?"]
    known = read = 0
    with Writer(small, options=GREEDY) as writer:
        for _ in range(3):
            reply = writer.start(context, session=session).result()
            assert reply.cached_tokens == known
            read += reply.context_tokens - reply.cached_tokens
            known = reply.context_tokens + reply.reply_tokens - 1  # the last token that is written is read by nobody
            context += [reply.text, "And you?"]
        assert known > 35
        load = writer.load
        assert (load.tokens_read, load.tokens_written) == (read, 3 * 6)


def test_the_first_of_several_replies_reads_for_the_others(small: ConversationModel) -> None:
    with Writer(small, options=GREEDY | {"do_sample": True, "num_return_sequences": 3}) as writer:
        first = writer.start(CONTEXT, seed=1).result()
        assert first.cached_tokens == 0
        after = writer.load
        assert after.tokens_read == first.context_tokens + 2  # the last token of each is read for its logits
        assert after.tokens_cached == 2 * (first.context_tokens - 1)
        again = writer.start(CONTEXT, seed=2).result()
        assert again.cached_tokens == again.context_tokens - 1
        assert writer.load.tokens_written == 2 * 3 * 6


def test_texts_of_transformers_generate_are_counted(small: ConversationModel) -> None:
    with Writer(small, options=GREEDY | {"num_beams": 2}) as writer:
        reply = writer.start(CONTEXT).result()
        assert reply.cached_tokens == 0
        load = writer.load
        assert (load.tokens_read, load.tokens_written) == (reply.context_tokens, reply.reply_tokens)


# How busy it is


def test_the_load_has_running_and_waiting_requests(small: ConversationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, rows=2)
    with Writer(small, options=GREEDY, max_running=2) as writer:
        assert writer.load == Load()
        with writer._thread._changed:  # the worker gets all five at once
            begun = [writer.start([f"Hello {n}"]) for n in range(5)]
        wait_until(lambda: writer.load.running == 2)
        assert writer.load.waiting == 3
        begun[4].cancel()
        gate.open.set()
        replies = [handle.result() for handle in begun]
        wait_until(lambda: not writer.load.running)
        load = writer.load
        assert load.waiting == 0
        assert load.tokens_written == sum(reply.reply_tokens for reply in replies) == 4 * 6
        assert load.tokens_read + load.tokens_cached == sum(reply.context_tokens for reply in replies[:4])
        assert load.tokens_cached == sum(reply.cached_tokens for reply in replies[:4])
    assert writer.load == load  # a closed one tells it too


def test_counts_survive_a_failed_engine(small: ConversationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    gate.open.set()
    with Writer(small, options=GREEDY) as writer:
        first = writer.start(CONTEXT).result()
        before, gate.failing = writer.load, True
        with pytest.raises(RuntimeError, match="the device is gone"):
            writer.start(["Hello"]).result()
        wait_until(lambda: not writer.load.running)
        assert before.tokens_written == first.reply_tokens
        assert writer.load.tokens_written == first.reply_tokens + 1  # what came in the step that went well
        assert writer.start(CONTEXT).result().cached_tokens == 0
        assert writer.load.tokens_written == 2 * first.reply_tokens + 1


def test_many_threads_can_read_the_load_during_generation(small: ConversationModel) -> None:
    wrong: list[Load] = []
    over = threading.Event()

    def look(writer: Writer) -> None:
        before = Load()
        while not over.is_set():
            load = writer.load
            grew = load.tokens_read >= before.tokens_read and load.tokens_written >= before.tokens_written
            if not (grew and 0 <= load.running <= 2 and 0 <= load.waiting <= 12):
                wrong.append(load)
            before = load

    with Writer(small, options=GREEDY, max_running=2) as writer:
        threads = [threading.Thread(target=look, args=(writer,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for handle in [writer.start([f"Hello {n}"]) for n in range(12)]:
            handle.result()
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong


# Choosing


@pytest.fixture
def chooser(make_selector: MakeSelector) -> Iterator[Chooser]:
    with Chooser(make_selector(), [*TEXTS, "Yes", "No", "Maybe"]) as made:
        yield made


def test_a_search_returns_the_best_candidates_without_sampling(chooser: Chooser) -> None:
    assert isinstance(chooser, CandidateSearch) and chooser.searches
    expected = chooser.start(CONTEXT, persona=["I am."], options={"num_candidates": 4}).result().candidates
    with Hybrid(FakeResponder(), chooser, options={"selection_temperature": 5.0}) as hybrid:
        assert isinstance(hybrid, CandidateSearch) and hybrid.searches
        assert hybrid.search(CONTEXT, ["I am."], 4) == chooser.search(CONTEXT, ["I am."], 4) == expected
        assert len(hybrid.search(CONTEXT, k=100)) == 6  # one of the seven was said
        with pytest.raises(ValueError, match="num_candidates=0; allowed are whole numbers from 1"):
            hybrid.search(CONTEXT, k=0)
        with pytest.raises(ValueError, match="there are no turns"):
            hybrid.search([])


def test_a_responder_without_candidates_cannot_search(small: ConversationModel) -> None:
    with Hybrid(Writer(small), scorer=None) as hybrid:
        assert not hybrid.searches
        with pytest.raises(ValueError, match="there is nothing to search; give a chooser"):
            hybrid.search(CONTEXT)
    assert not isinstance(FakeResponder(), CandidateSearch)


def test_a_hybrid_is_as_busy_as_the_busier_of_its_parts(
    small: ConversationModel, chooser: Chooser, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with Hybrid(Writer(small, options=GREEDY, max_running=1), chooser) as hybrid:
        assert hybrid.load == chooser.load == Load()
        begun = [hybrid.start(CONTEXT, options={"num_return_sequences": 1}) for _ in range(3)]
        wait_until(lambda: (hybrid.load.running, hybrid.load.waiting) == (1, 2))
        wait_until(lambda: chooser.load == Load())
        gate.open.set()
        replies = [handle.result() for handle in begun]
        wait_until(lambda: not hybrid.load.running)
        assert hybrid.load.tokens_written == 3 * 6
        assert replies[0].cached_tokens == 0 and replies[2].cached_tokens == replies[2].context_tokens - 1
    with Hybrid(None, chooser) as alone:
        assert alone.load == Load()


def test_a_greedy_request_takes_no_sampling_options_from_the_defaults(small: ConversationModel) -> None:
    with Writer(small, options={"do_sample": True, "temperature": 0.5, "top_p": 0.8, "max_new_tokens": 4}) as writer:
        sampled = writer._decoding({}).config
        assert (sampled.temperature, sampled.top_p, sampled.max_new_tokens) == (0.5, 0.8, 4)
        greedy = writer._decoding({"do_sample": False}).config
        assert (greedy.do_sample, greedy.temperature, greedy.top_p, greedy.max_new_tokens) == (False, 1.0, 1.0, 4)
