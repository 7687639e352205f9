"""Scorers against their formulas, on models whose likelihoods are written down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.rerankers import MutualInformation, SelectorScorer, score_candidates, scorer_name
from tests.conftest import MakeSelector


@dataclass
class Likelihoods:
    """What a model says."""

    per_token: list[float]


@dataclass
class Table:
    """A model that finds each candidate as likely as a table says, and records its calls."""

    nats: dict[tuple[str, str], float]
    calls: list[tuple[list[str], list[str]]] = field(default_factory=list)

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = (), cut: bool
    ) -> Likelihoods:
        self.calls.append((list(context), list(candidates)))
        return Likelihoods([self.nats[context[-1], candidate] for candidate in candidates])


def models() -> tuple[Any, Any]:
    forward = Table(
        {("Do you swim?", "I do."): -1.0, ("Do you swim?", "Yes."): -0.5, ("Do you swim?", "In lakes."): -2.0}
    )
    backward = Table(
        {("I do.", "Do you swim?"): -4.0, ("Yes.", "Do you swim?"): -6.0, ("In lakes.", "Do you swim?"): -1.0}
    )
    return forward, backward


CONTEXT = ["Hello", "Hi", "Do you swim?"]
CANDIDATES = ["Yes.", "I do.", "In lakes."]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.0, [-0.5, -1.0, -2.0]), (0.5, [-3.25, -2.5, -1.5]), (1.0, [-6.0, -4.0, -1.0]), (0.25, [-1.875, -1.75, -1.75])],
)
def test_mutual_information_weighs_both_directions(weight: float, expected: list[float]) -> None:
    forward, backward = models()
    assert MutualInformation(forward, backward, weight=weight).score(CONTEXT, CANDIDATES) == pytest.approx(expected)
    assert all(context == CONTEXT for context, _ in forward.calls)
    assert all(call == ([call[0][0]], ["Do you swim?"]) for call in backward.calls)


def test_a_candidate_has_the_same_score_alone_among_others_and_repeated() -> None:
    scorer = MutualInformation(*models())
    together = scorer.score(CONTEXT, [*CANDIDATES, *reversed(CANDIDATES)])
    assert together == [scorer.score(CONTEXT, [text])[0] for text in [*CANDIDATES, *reversed(CANDIDATES)]]


def test_blank_candidates_rank_last_and_are_not_scored_by_the_models() -> None:
    forward, backward = models()
    scorer = MutualInformation(forward, backward)
    assert scorer.score(CONTEXT, ["", "Yes.", " \n"]) == [-math.inf, -3.25, -math.inf]
    assert forward.calls == [(CONTEXT, ["Yes."])]
    forward.calls.clear()
    assert scorer.score(CONTEXT, ["", " "]) == [-math.inf] * 2 and not forward.calls
    assert scorer.score(CONTEXT, []) == []


@pytest.mark.parametrize("weight", [-0.1, 1.01, 2, float("nan"), -math.inf])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"weight={weight}; allowed are 0.0 to 1.0"):
        MutualInformation(*models(), weight=weight)


def test_mutual_information_of_real_models_combines_their_scores(model: ConversationModel) -> None:
    candidates = ["I do.", "Yes.", "日本", "Yes."]
    forward = model.score(CONTEXT, candidates).per_token
    backward = [model.score([text], ["Do you swim?"]).per_token[0] for text in candidates]
    expected = [0.7 * f + 0.3 * b for f, b in zip(forward, backward, strict=True)]
    result = MutualInformation(model, model, weight=0.3).score(CONTEXT, candidates)
    assert result == pytest.approx(expected, abs=1e-4)


def test_scores_of_a_scorer_are_checked() -> None:
    class Gives:
        def __init__(self, scores: list[float]) -> None:
            self.score = lambda context, candidates: scores

    assert score_candidates(Gives([1, 2.5, -math.inf]), [], ["a", "b", "c"]) == [1.0, 2.5, -math.inf]
    for wrong in ([1.0], [1.0, 2.0, 3.0], [1.0, math.nan], []):
        with pytest.raises(ValueError, match=r"the scorer gave \[.*\] for 2 candidates; give one number for each"):
            score_candidates(Gives(wrong), [], ["a", "b"])


def test_a_scorer_gets_the_persona_if_it_has_that_argument() -> None:
    class Asks:
        name = "questions"

        def score(
            self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()
        ) -> list[float]:
            return [float(text in persona) for text in candidates]

    assert score_candidates(Asks(), CONTEXT, CANDIDATES, persona=["I do."]) == [0.0, 1.0, 0.0]
    assert score_candidates(Longest(), CONTEXT, CANDIDATES, persona=["I do."]) == [4.0, 5.0, 9.0]
    assert [scorer_name(scorer) for scorer in (Asks(), Longest(), "likelihood")] == [
        "questions",
        "Longest",
        "likelihood",
    ]


def test_a_selector_scorer_gives_the_scores_of_its_selector(make_selector: MakeSelector) -> None:
    selector, persona = make_selector(), ["I swim in lakes."]
    expected = selector.score([CONTEXT], CANDIDATES, personas=[persona])[0].tolist()
    scorer = SelectorScorer(selector)
    assert scorer.name == "bi-encoder"
    assert scorer.score(CONTEXT, CANDIDATES, persona=persona) == pytest.approx(expected, abs=1e-5)
    without = scorer.score(CONTEXT, ["", *CANDIDATES, " "])
    assert without[0] == without[-1] == -math.inf and without[1:-1] != pytest.approx(expected, abs=1e-3)
    assert scorer.score(CONTEXT, [""]) == [-math.inf] and scorer.score(CONTEXT, []) == []


# Through generate


class Longest:
    """Prefers long replies."""

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
        return [float(len(candidate)) for candidate in candidates]


def test_generate_sorts_replies_by_score_without_duplicates(model: ConversationModel) -> None:
    options: dict[str, Any] = {"do_sample": True, "temperature": 0.4, "num_return_sequences": 12, "max_new_tokens": 2}
    plain = model.generate(["Hello"], seed=5, **options)
    output = model.generate(["Hello"], seed=5, scorer=Longest(), **options)
    assert plain.scores is None and len(plain.responses) == 12 > len(set(plain.responses))
    assert output.scores == sorted((len(text) for text in output.responses), reverse=True)
    assert sorted(output.responses) == sorted(set(plain.responses))


def test_generate_prefers_the_reply_that_a_selector_would_choose(
    model: ConversationModel, make_selector: MakeSelector
) -> None:
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.5, "num_return_sequences": 6, "max_new_tokens": 4}
    selector, persona = make_selector(), ["I swim."]
    output = model.generate(["Hello"], persona=persona, seed=5, scorer=SelectorScorer(selector), **options)
    expected = selector.score([["Hello"]], output.responses, personas=[persona])[0].tolist()
    assert output.scores == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_a_reply_of_only_control_tokens_never_ranks_first(model: ConversationModel) -> None:
    """However likely the model finds it: there is nothing to say in it."""
    network: Any = model.hf_model
    speaker = network.transformer.wte.weight[0]
    network.transformer.ln_f.bias.data += 3 * speaker.detach() / speaker.detach().norm()
    options: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 1}
    output = model.generate(["Hello"], seed=0, scorer="likelihood", num_return_sequences=40, **options)
    assert output.scores is not None and "" in output.responses and len(output.responses) > 2
    assert output.responses[-1] == "" and output.scores[-1] == -math.inf
