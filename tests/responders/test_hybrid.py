"""Generated and selected replies, ranked together, with parts that are fakes and parts that are tiny models."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from convmodel.models.rerankers import Likelihood, MutualInformation, Scorer, SelectorScorer
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.responders.chooser import Chooser
from convmodel.responders.handles import ReplyFuture
from convmodel.responders.hybrid import Hybrid
from convmodel.responders.protocol import Candidate, Load, QueueFull, Reply, ReplyHandle, Responder, Session
from convmodel.responders.ranking import merge_candidates
from convmodel.responders.writer import Writer
from tests.conftest import TEXTS, MakeModel, MakeSelector
from tests.fakes import FakeResponder
from tests.models.selection.models import ReadsTogether

CONTEXT = ["Hello, how are you?", "I am fine, thanks. And you?"]
CANDIDATES = [*TEXTS, "Yes", "No", "Maybe", "It rains.", "yes maybe"]
PERSONA = ["I like rain."]


class Chosen:
    """A Responder that chooses what it is told to."""

    options: Mapping[str, Any] = {"num_candidates": 10}
    load = Load()
    presets: Mapping[str, Mapping[str, Any]] = {}

    def __init__(self, *texts: str, error: Exception | None = None) -> None:
        self.texts, self.error, self.closed = texts, error, 0
        self.requests: list[dict[str, Any]] = []
        self.begun: list[ReplyFuture] = []

    def check_options(self, options: Mapping[str, Any]) -> None:
        if options.get("num_candidates") == 0:
            raise ValueError("num_candidates=0")

    def start(self, context: Sequence[str], **how: Any) -> ReplyFuture:
        if isinstance(self.error, QueueFull):
            raise self.error
        self.requests.append({"context": context, **how})
        piece = ReplyFuture()
        candidates = [Candidate(text, 5.0 - n, "chosen", n, {"id": n}) for n, text in enumerate(self.texts)]
        piece.set(self.error or Reply(tuple(candidates), ranked_by="fake"))
        self.begun.append(piece)
        return piece

    def close(self) -> None:
        self.closed += 1


class Longest:
    """Prefers long replies, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], list[str]]] = []

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
        self.calls.append((list(context), list(candidates)))
        return [float(len(candidate)) for candidate in candidates]


class Equal:
    """Prefers nothing."""

    name = "indifference"

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
        return [0.0] * len(candidates)


def writes(*texts: str) -> FakeResponder:
    """Writes these, one after the other."""
    return FakeResponder(lambda _, seed, __: texts[seed // 1000 % len(texts)])


@pytest.fixture
def writer(make_model: MakeModel) -> Iterator[Writer]:
    options = {"max_new_tokens": 6, "min_new_tokens": 2, "do_sample": True, "temperature": 1.5}
    with Writer(make_model(), options=options) as made:
        yield made


@pytest.fixture
def selector(make_selector: MakeSelector) -> BiEncoder:
    return make_selector()


def test_the_best_of_written_and_chosen_is_the_reply_and_each_says_where_it_came_from() -> None:
    scorer = Longest()
    writing, choosing = writes("aa", "bbbb", "c"), Chosen("ddd", "eeeee")
    with Hybrid(writing, choosing, scorer=scorer, options={"num_return_sequences": 3}) as hybrid:
        reply = hybrid.start(CONTEXT, persona=PERSONA, seed=0).result()
    assert scorer.calls == [(CONTEXT, ["aa", "bbbb", "c", "ddd", "eeeee"])]
    assert [(c.text, c.score, c.source, c.number) for c in reply.candidates] == [
        ("eeeee", 5.0, "chosen", 1),
        ("bbbb", 4.0, "written", None),
        ("ddd", 3.0, "chosen", 0),
        ("aa", 2.0, "written", None),
        ("c", 1.0, "written", None),
    ]
    assert [dict(c.scores) for c in reply.candidates] == [
        {"chosen": 4.0},
        {"written": -2.0},
        {"chosen": 5.0},
        {"written": -1.0},
        {"written": -3.0},
    ]
    assert reply.candidates[0].metadata == {"id": 1} and reply.ranked_by == "Longest" and reply.window == 64
    assert choosing.requests[0]["persona"] == tuple(PERSONA) == writing.requests[0]["persona"]
    assert writing.requests[0]["seed"] == choosing.requests[0]["seed"] == 0


def test_a_text_that_was_written_and_chosen_is_one_candidate_that_says_both() -> None:
    with Hybrid(writes("aa", "b"), Chosen("b ", "aa", "c"), scorer=Longest()) as hybrid:
        reply = hybrid.start(CONTEXT, options={"num_return_sequences": 2}, seed=0).result()
    assert [(c.text, c.source, c.number) for c in reply.candidates] == [
        ("aa", "both", 1),
        ("b", "both", 0),
        ("c", "chosen", 2),
    ]
    assert reply.candidates[0].scores == {"written": -1.0, "chosen": 4.0}


def test_merged_candidates_are_distinct_and_keep_their_metadata() -> None:
    written = [Candidate("a", -1.0, finish="length", tokens=3), Candidate("b", None), Candidate("a ", -2.0)]
    chosen = [
        Candidate("b", 2.0, "chosen", 7, {"id": 7}),
        Candidate("c", 1.0, "chosen", 8),
        Candidate("c ", 0.5, "chosen"),
    ]
    merged = merge_candidates(written, chosen)
    assert [(c.text, c.source, c.number, dict(c.scores)) for c in merged] == [
        ("a", "written", None, {"written": -1.0}),
        ("b", "both", 7, {"chosen": 2.0}),
        ("c", "chosen", 8, {"chosen": 1.0}),
    ]
    assert merged[0].finish == "length" and merged[0].tokens == 3 and merged[1].metadata == {"id": 7}
    assert merge_candidates([], []) == []


def test_of_equal_scores_a_generated_candidate_wins_and_then_the_order_of_its_stage() -> None:
    with Hybrid(writes("w1", "w2"), Chosen("c1", "c2"), scorer=Equal()) as hybrid:
        reply = hybrid.start(CONTEXT, options={"num_return_sequences": 2}, seed=0).result()
    assert [c.text for c in reply.candidates] == ["w1", "w2", "c1", "c2"] and reply.ranked_by == "indifference"


def test_a_generated_reply_without_text_comes_last_without_being_scored() -> None:
    scorer = Longest()
    with Hybrid(writes("", "w"), Chosen("c"), scorer=scorer) as hybrid:
        reply = hybrid.start(CONTEXT, options={"num_return_sequences": 2}, seed=0).result()
    assert scorer.calls == [(CONTEXT, ["w", "c"])]
    assert [(c.text, c.score) for c in reply.candidates] == [("w", 1.0), ("c", 1.0), ("", -math.inf)]
    with Hybrid(writes(""), scorer=scorer) as hybrid:
        assert hybrid.start(CONTEXT, seed=0).result().text == ""


def test_the_reply_has_the_finish_of_the_winner_and_the_window_of_the_writer(writer: Writer) -> None:
    with Hybrid(writer, Chosen("It rains"), scorer=Longest()) as hybrid:
        reply = hybrid.start(CONTEXT, options={"num_return_sequences": 3}, seed=4).result()
    alone = writer.model.generate(
        CONTEXT, seed=4, num_return_sequences=3, max_new_tokens=6, min_new_tokens=2, do_sample=True, temperature=1.5
    )
    assert {c.text for c in reply.candidates} == {*alone.responses, "It rains"}
    best = reply.candidates[0]
    assert best.text == max([*alone.responses, "It rains"], key=len)
    assert (reply.finish, reply.reply_tokens) == (best.finish, best.tokens)
    assert reply.window == 64 and reply.context_tokens > 0 and reply.seed == 4 and reply.seconds > 0
    assert reply.candidates[-1].tokens in (0, 6)


@pytest.mark.parametrize("parts", ["writer", "chooser", "both"])
@pytest.mark.parametrize("by", [None, "likelihood", "selector", "mutual information", "cross-encoder", "object"])
def test_all_parts_and_scorers_can_be_combined(writer: Writer, selector: BiEncoder, parts: str, by: str | None) -> None:
    scorers: dict[str | None, Any] = {
        "mutual information": MutualInformation(writer.model, writer.model),
        "cross-encoder": SelectorScorer(ReadsTogether(selector)),
        "object": Longest(),
    }
    chooser = Chooser(selector, CANDIDATES, options={"num_candidates": 3})
    if (by == "likelihood" and parts == "chooser") or (by == "selector" and parts == "writer"):
        with pytest.raises(ValueError, match=rf"scorer='{by}': there is no"):
            Hybrid(writer if parts != "chooser" else None, chooser if parts != "writer" else None, scorer=by)  # type: ignore[arg-type]
        return
    hybrid = Hybrid(
        writer if parts != "chooser" else None, chooser if parts != "writer" else None, scorer=scorers.get(by, by)
    )
    with hybrid:
        reply = hybrid.start(CONTEXT, persona=PERSONA, seed=1).result()
    assert len(reply.candidates) == {"writer": 4, "chooser": 3, "both": 7}[parts]
    scores = [candidate.score for candidate in reply.candidates]
    assert None not in scores and scores == sorted(scores, key=lambda score: -(score or 0.0))
    default = {"writer": "likelihood", "chooser": "bi-encoder", "both": "bi-encoder"}[parts]
    assert reply.ranked_by == {None: default, "selector": "bi-encoder", "object": "Longest"}.get(by, by)
    texts = [candidate.text for candidate in reply.candidates]
    expected: Sequence[float] | None = {
        "likelihood": lambda: writer.model.score(CONTEXT, texts, persona=PERSONA).per_token,
        "cross-encoder": lambda: selector.score([CONTEXT], texts, personas=[PERSONA])[0].tolist(),
        "object": lambda: [float(len(text)) for text in texts],
    }.get(by or "", lambda: None)()
    if expected is not None:
        assert scores == pytest.approx(expected, abs=1e-4)


def test_without_a_scorer_the_generated_order_is_kept(writer: Writer) -> None:
    with Hybrid(writer) as hybrid:
        here = hybrid.start(CONTEXT, seed=3).result()
        there = writer.start(CONTEXT, seed=3, options={"num_return_sequences": 4}).result()
    assert [c.text for c in here.candidates] == [c.text for c in there.candidates]
    assert [c.score for c in here.candidates] == pytest.approx([c.score for c in there.candidates], abs=1e-5)
    assert here.ranked_by == there.ranked_by == "likelihood"


def test_the_same_request_gives_the_same_reply_alone_and_among_others(writer: Writer, selector: BiEncoder) -> None:
    contexts = [[text, f"number {n}"] for n, text in enumerate(TEXTS * 2)]
    with Hybrid(writer, Chooser(selector, CANDIDATES)) as hybrid:
        alone = [hybrid.start(context, seed=n).result().candidates for n, context in enumerate(contexts)]
        begun = [hybrid.start(context, seed=n) for n, context in enumerate(contexts)]
        results: dict[int, Any] = {}

        def wait(n: int) -> None:
            results[n] = begun[n].result().candidates

        threads = [threading.Thread(target=wait, args=(n,)) for n in range(len(begun))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [[c.text for c in results[n]] for n in range(len(contexts))] == [
        [c.text for c in candidates] for candidates in alone
    ]


def test_a_reply_is_drawn_among_all_and_repeats_with_its_seed() -> None:
    writing = writes("aaa", "bb")
    options = {"num_return_sequences": 2, "selection_temperature": 1.0, "do_sample": False}
    with Hybrid(writing, Chosen("c", "dddd"), scorer=Longest(), options=options) as hybrid:
        first = [hybrid.start(CONTEXT, seed=seed).result() for seed in range(30)]
        again = [hybrid.start(CONTEXT, seed=seed).result() for seed in range(30)]
    assert [reply.candidates for reply in first] == [reply.candidates for reply in again]
    assert len({reply.text for reply in first}) >= 3 and [reply.seed for reply in first] == list(range(30))
    assert all("selection_temperature" not in (request["options"] or {}) for request in writing.requests)


# Options


def test_options_go_to_the_part_that_they_are_for() -> None:
    writing, choosing = writes("a"), Chosen("b")
    with Hybrid(writing, choosing, scorer=Longest()) as hybrid:
        assert hybrid.options == {
            **{"num_candidates": 10, "do_sample": True, "num_return_sequences": 4, "temperature": 1.0, "top_k": 50},
            "selection_temperature": 0.0,
        }
        assert hybrid.presets == writing.presets
        hybrid.start(CONTEXT, options={"num_candidates": 3, "temperature": 0.5, "top_k": None}).result()
        assert choosing.requests[0]["options"] == {"num_candidates": 3}
        assert writing.requests[0]["options"] == {"temperature": 0.5, "num_return_sequences": 4}
        refused: list[tuple[dict[str, Any], str]] = [
            ({"temperature": 0}, "temperature=0"),
            ({"num_candidates": 0}, "num_candidates=0"),
            ({"selection_temperature": "warm"}, "selection_temperature='warm'; allowed are numbers from 0"),
            ({"nothing": 1}, "nothing: there is no such option"),
        ]
        for wrong, told in refused:
            with pytest.raises(ValueError, match=told):
                hybrid.check_options(wrong)
            with pytest.raises(ValueError, match=told):
                hybrid.start(CONTEXT, options=wrong)
    with Hybrid(None, choosing, scorer=Longest()) as hybrid:
        assert hybrid.options == {"num_candidates": 10, "selection_temperature": 0.0} and hybrid.presets == {}


def test_greedy_decoding_generates_one_reply_unless_more_are_requested(writer: Writer) -> None:
    with Hybrid(writer, Chosen("It rains."), scorer=Longest()) as hybrid:
        greedy = hybrid.start(CONTEXT, options={"do_sample": False}).result()
        assert [c.source for c in greedy.candidates].count("written") == 1
        beams = hybrid.start(CONTEXT, options={"do_sample": False, "num_beams": 4}).result()
        assert [c.source for c in beams.candidates].count("written") == 4
        drawn = hybrid.start(CONTEXT, options={"do_sample": True, "num_beams": 2}).result()
        assert [c.source for c in drawn.candidates].count("written") in (1, 2)  # two may be the same text
    writing = writes("a")
    with Hybrid(writing, Chosen("c"), scorer=Longest(), options={"num_return_sequences": 3}) as hybrid:
        hybrid.start(CONTEXT, options={"do_sample": False})
    assert writing.requests[0]["options"] == {"num_return_sequences": 3, "do_sample": False}


def test_parts_and_scorers_that_do_not_fit_together_are_rejected() -> None:
    with pytest.raises(ValueError, match="nothing that replies; give a writer, a chooser, or both"):
        Hybrid()
    with pytest.raises(ValueError, match="scorer='likelihood': there is no writer with a model"):
        Hybrid(writes("a"), Chosen("b"), scorer="likelihood")
    with pytest.raises(ValueError, match="scorer='selector': there is no Chooser"):
        Hybrid(writes("a"), Chosen("b"))
    with pytest.raises(ValueError, match="scorer='best'; allowed are 'selector', 'likelihood', and objects"):
        Hybrid(writes("a"), scorer="best")  # type: ignore[arg-type]


def test_a_session_remembers_what_was_written(writer: Writer) -> None:
    session = Session()
    with Hybrid(writer, Chosen("c"), scorer=Longest()) as hybrid:
        reply = hybrid.start(["Hello"], session=session, seed=2).result()
    assert {text for _, text in session.ids} <= {c.text for c in reply.candidates if c.source == "written"}
    assert session.ids


# What goes wrong


def cancel_when(event: threading.Event, replying: ReplyHandle[Reply]) -> None:
    """Cancels it, twice, from another thread."""

    def cancel() -> None:
        event.wait(30)
        replying.cancel()
        replying.cancel()

    threading.Thread(target=cancel).start()


def test_a_cancelled_reply_is_what_was_written_so_far() -> None:
    writing = FakeResponder(lambda *_: "one two three", hold=0)
    with Hybrid(writing, Chosen("c"), scorer=Longest(), options={"num_return_sequences": 1}) as hybrid:
        begun = hybrid.start(CONTEXT)
        cancel_when(writing.held, begun)
        assert list(begun) == []
        assert begun.result().finish == "cancelled" and begun.result().text == ""
    finished = Hybrid(writes("a"), Chosen("c"), scorer=Longest()).start(CONTEXT)
    assert finished.result().finish == "end"
    finished.cancel()
    assert finished.result().finish == "end"


def test_a_reply_cancelled_during_ranking_is_the_best_of_the_writer() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
            begun.set()
            assert go_on.wait(30)
            return [0.0] * len(candidates)

    with Hybrid(writes("a", "b"), Chosen("c"), scorer=Slow()) as hybrid:
        together = hybrid.start(CONTEXT, seed=0)
        cancel_when(begun, together)
        reply = together.result()
        go_on.set()
    assert (reply.text, reply.finish) == ("a", "cancelled")


@pytest.mark.parametrize("scorer", [Longest(), Equal()])
def test_an_error_of_either_part_is_raised_and_cancels_the_other(scorer: Scorer) -> None:
    writing = FakeResponder(error=OSError("no power"))
    with Hybrid(writing, Chosen("c"), scorer=scorer) as hybrid:
        begun = hybrid.start(CONTEXT, options={"num_return_sequences": 1})
        for _ in range(2):
            with pytest.raises(OSError, match="no power"):
                begun.result()
    with (
        Hybrid(writes("a"), Chosen(error=ValueError("no index")), scorer=scorer) as hybrid,
        pytest.raises(ValueError, match="no index"),
    ):
        hybrid.start(CONTEXT).result()


def test_a_scorer_must_return_a_number_for_each_candidate() -> None:
    class Wrong:
        def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
            return [math.nan] * len(candidates)

    with Hybrid(writes("a"), Chosen("c"), scorer=Wrong()) as hybrid:
        with pytest.raises(ValueError, match=r"the scorer gave \[nan, nan\] for 2 candidates"):
            hybrid.start(CONTEXT).result()
        assert hybrid.start(CONTEXT) is not None


def test_a_full_queue_of_one_part_cancels_the_other() -> None:
    choosing = Chosen("c")
    full = FakeResponder(capacity=0)
    with Hybrid(full, choosing, scorer=Longest()) as hybrid, pytest.raises(QueueFull):
        hybrid.start(CONTEXT)
    assert len(choosing.begun) == 1
    parts: list[Responder] = [full, choosing]
    with pytest.raises(QueueFull), Hybrid(parts[0], Chosen(error=QueueFull("later")), scorer=Longest()) as hybrid:
        hybrid.start(CONTEXT)


def test_closing_closes_both_parts_and_twice_is_no_error() -> None:
    writing, choosing = writes("a"), Chosen("c")
    hybrid = Hybrid(writing, choosing, scorer=Longest())
    begun = hybrid.start(CONTEXT)
    hybrid.close()
    hybrid.close()
    assert writing.closed and choosing.closed == 2
    with pytest.raises(RuntimeError, match="the hybrid is closed; make a new one"):
        begun.result()


def test_the_likelihood_of_given_texts_is_that_of_the_model(make_model: MakeModel) -> None:
    model = make_model()
    texts = ["Yes", "", "It rains.", "Yes", " "]
    scores = Likelihood(model).score(CONTEXT, texts, persona=PERSONA)
    expected = model.score(CONTEXT, ["Yes", "It rains."], persona=PERSONA).per_token
    assert scores == pytest.approx([expected[0], -math.inf, expected[1], expected[0], -math.inf])
