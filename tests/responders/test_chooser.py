"""The Responder that chooses, against scoring and sorting by hand."""

import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from convmodel.errors import QueueFull
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.responders.candidate_pool import make_pool
from convmodel.responders.chooser import Chooser
from tests.conftest import TEXTS, MakeSelector
from tests.models.selection.models import ReadsTogether

CONTEXT = ["Hello, how are you?", "I am fine, thanks. And you?"]
PERSONA = ["I live in a small house by the sea."]
CANDIDATES = [*TEXTS, "Yes", "No", "Maybe", "It rains.", "Good night", "You?"]


@pytest.fixture
def selector(make_selector: MakeSelector) -> BiEncoder:
    return make_selector()


@pytest.fixture
def chooser(selector: BiEncoder) -> Iterator[Chooser]:
    with Chooser(selector, CANDIDATES) as made:
        yield made


def by_hand(
    selector: BiEncoder, context: Sequence[str], texts: Sequence[str], persona: Sequence[str] = ()
) -> list[str]:
    """All texts, best first."""
    scores = selector.score([context], texts, personas=[persona])[0].tolist()
    return [texts[n] for n in sorted(range(len(texts)), key=lambda n: -scores[n])]


def test_the_best_candidate_is_the_reply_with_its_number_score_and_metadata(selector: BiEncoder) -> None:
    pool = make_pool(selector, CANDIDATES, [{"line": n} for n in range(len(CANDIDATES))])
    with Chooser(selector, pool, options={"num_candidates": 4}) as chooser:
        choosing = chooser.start(CONTEXT, persona=PERSONA, seed=3)
        assert list(choosing) == [choosing.result().text]
        reply = choosing.result()
    unsaid = [text for text in CANDIDATES if text not in CONTEXT]
    assert [candidate.text for candidate in reply.candidates] == by_hand(selector, CONTEXT, unsaid, PERSONA)[:4]
    assert [candidate.score for candidate in reply.candidates] == sorted(
        (candidate.score for candidate in reply.candidates), key=lambda score: -(score or 0)
    )
    for candidate in reply.candidates:
        assert candidate.source == "chosen" and candidate.number is not None
        assert CANDIDATES[candidate.number] == candidate.text and candidate.metadata == {"line": candidate.number}
    assert (reply.finish, reply.seed, reply.ranked_by, reply.window) == ("end", None, "bi-encoder", 0)


def test_a_selector_without_encoded_candidates_selects_the_same(selector: BiEncoder, chooser: Chooser) -> None:
    with Chooser(ReadsTogether(selector), CANDIDATES) as reading:
        there, here = reading.start(CONTEXT).result(), chooser.start(CONTEXT).result()
    assert [c.number for c in there.candidates] == [c.number for c in here.candidates]
    assert there.ranked_by == "cross-encoder"


def test_no_text_is_repeated_while_there_are_others(selector: BiEncoder) -> None:
    texts = ["Yes", "YES ", "No", "no", "Maybe"]
    with Chooser(selector, texts, options={"num_candidates": 1}) as chooser:
        said = ["yes"]
        while len(said) < 4:
            reply = chooser.start(said).result()
            said.append(reply.text)
        assert sorted(text.strip().lower() for text in said[:3]) == ["maybe", "no", "yes"]
        assert said[3].strip().lower() in ("yes", "no", "maybe")  # rather that than nothing
        again = chooser.start(said[:1], options={"allow_repeats": True}).result()
        assert again.text == by_hand(selector, ["yes"], texts)[0]


def test_candidates_have_distinct_texts(selector: BiEncoder) -> None:
    with Chooser(selector, ["Yes", "No", " Yes", "No"]) as chooser:
        reply = chooser.start(CONTEXT).result()
    assert sorted(candidate.text.strip() for candidate in reply.candidates) == ["No", "Yes"]


def test_a_reply_is_drawn_by_its_score_and_repeats_with_its_seed(chooser: Chooser) -> None:
    options = {"selection_temperature": 3.0, "num_candidates": 3}
    best = chooser.start(CONTEXT, options={"num_candidates": 3}).result()
    first, again = (chooser.start(CONTEXT, options=options, seed=5).result() for _ in range(2))
    assert first.candidates == again.candidates and first.seed == 5
    assert {c.text for c in first.candidates} == {c.text for c in best.candidates}
    unseeded = chooser.start(CONTEXT, options=options).result()
    assert unseeded.seed is not None
    assert chooser.start(CONTEXT, options=options, seed=unseeded.seed).result().candidates == unseeded.candidates


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_candidates": 0}, "num_candidates=0; allowed are whole numbers from 1"),
        ({"num_candidates": True}, "num_candidates=True; allowed are whole numbers from 1"),
        ({"allow_repeats": 1}, "allow_repeats=1; allowed are true and false"),
        ({"selection_temperature": -1}, r"selection_temperature=-1; allowed are numbers from 0 \(the best\)"),
        ({"selection_temperature": math.nan}, "selection_temperature=nan; allowed are numbers from 0"),
        ({"num_candidate": 3}, "there is no option 'num_candidate'; did you mean num_candidates?"),
        (
            {"top_p": 0.9},
            "there is no option 'top_p'; allowed for a chooser are num_candidates, allow_repeats",
        ),
    ],
)
def test_unknown_and_invalid_options_are_rejected(
    chooser: Chooser, selector: BiEncoder, options: dict[str, Any], told: str
) -> None:
    for refuse in (
        lambda: chooser.check_options(options),
        lambda: chooser.start(CONTEXT, options=options),
        lambda: Chooser(selector, ["Yes"], options=options),
    ):
        with pytest.raises(ValueError, match=told):
            refuse()
    chooser.check_options({"num_candidates": None})


def test_invalid_turns_are_rejected_at_once(chooser: Chooser) -> None:
    with pytest.raises(ValueError, match="there are no turns"):
        chooser.start([])
    with pytest.raises(ValueError, match="persona sentence 1 is only white space"):
        chooser.start(["Hello"], persona=[" "])


# Several at once


class Held(ReadsTogether):
    """Scores when it is let go."""

    def __init__(self, selector: BiEncoder) -> None:
        super().__init__(selector)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def score(self, *arguments: Any, **options: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().score(*arguments, **options)


def test_several_threads_get_their_own_replies(chooser: Chooser) -> None:
    contexts = [[text, f"number {n}"] for n, text in enumerate(TEXTS * 3)]
    expected = [chooser.start(context).result().candidates for context in contexts]
    results: dict[int, Any] = {}

    def ask(n: int) -> None:
        results[n] = chooser.start(contexts[n]).result().candidates

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(contexts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[n] for n in range(len(contexts))] == expected


def test_a_cancelled_request_ends_at_once_and_the_others_continue(selector: BiEncoder) -> None:
    held = Held(selector)
    with Chooser(held, CANDIDATES) as chooser:
        first, second, third = (chooser.start(CONTEXT) for _ in range(3))
        assert held.begun.wait(30)
        for _ in range(2):
            first.cancel()
            second.cancel()
        assert first.result().finish == second.result().finish == "cancelled" and list(first) == []
        held.go_on.set()
        assert third.result().text
        third.cancel()
        assert third.result().finish == "end"
    assert len(held.calls) == 2  # nobody waited for the second any more


def test_too_many_requests_are_rejected_and_closing_fails_the_waiting_ones(selector: BiEncoder) -> None:
    held = Held(selector)
    chooser = Chooser(held, CANDIDATES, max_waiting=2)
    first, second = chooser.start(CONTEXT), chooser.start(CONTEXT)
    assert held.begun.wait(30)
    with pytest.raises(QueueFull, match="2 requests are open, the maximum"):
        chooser.start(CONTEXT)
    closing = threading.Thread(target=chooser.close)
    closing.start()
    with pytest.raises(RuntimeError, match="the chooser was closed before the reply was ready"):
        second.result()
    held.go_on.set()
    closing.join()
    assert first.result().text
    chooser.close()
    with pytest.raises(RuntimeError, match="the chooser is closed; make a new one"):
        chooser.start(CONTEXT)
    with pytest.raises(ValueError, match="max_waiting=0"):
        Chooser(selector, CANDIDATES, max_waiting=0)


def test_an_error_fails_only_its_request(selector: BiEncoder) -> None:
    class Once(ReadsTogether):
        def score(self, *arguments: Any, **options: Any) -> Any:
            scores = super().score(*arguments, **options)
            if len(self.calls) == 1:
                raise OSError("the disk is gone")
            return scores

    with Chooser(Once(selector), CANDIDATES) as chooser:
        with pytest.raises(OSError, match="the disk is gone"):
            chooser.start(CONTEXT).result()
        assert chooser.start(CONTEXT).result().text


def test_a_saved_selector_is_loaded_and_chooses(selector: BiEncoder, chooser: Chooser, tmp_path: Any) -> None:
    selector.save_pretrained(tmp_path / "selector")
    with Chooser.from_pretrained(tmp_path / "selector", CANDIDATES, dtype="float32") as loaded:
        assert loaded.start(CONTEXT).result().text == chooser.start(CONTEXT).result().text
        assert len(loaded) == len(CANDIDATES) and loaded.presets == {} and loaded.options["num_candidates"] == 10
