"""Unlikelihood a chunk at a time, against the paper's formulas written out: values, gradients, candidates."""

import math
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from convmodel.models import linear_cross_entropy as loss
from convmodel.models.linear_cross_entropy import summed_cross_entropy, summed_loss
from convmodel.training.unlikelihood import (
    MIN_PROBABILITY,
    OwnUnlikelihood,
    Unlikelihood,
    find_seen_tokens,
    repeated_ngrams,
)

D, V, PAD = 4, 9, 0
ALPHA = 0.7


@pytest.fixture(autouse=True)
def _no_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks as small as a test wants them, and a table in several parts."""
    monkeypatch.setattr(loss, "MIN_TOKENS", 1)
    monkeypatch.setattr(loss, "GRADIENT_ROWS", 4)


@pytest.fixture(params=[1, 2, 5, 1000], ids=lambda rows: f"{rows} tokens a chunk")
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", request.param * V)
    yield


def by_formula(logits: Tensor, ids: list[list[int]], labels: list[list[int]], counted: list[list[bool]]) -> Tensor:
    """Arxiv 1908.04319, equations 3 to 5, step by step: step t reads x_1 .. x_t and predicts x_{t+1}."""
    total = logits.new_zeros(())
    for row in range(len(ids)):
        for t in range(len(ids[row]) - 1):
            target = labels[row][t + 1]
            if target == -100:
                continue
            chances = logits[row, t].softmax(0)
            candidates = {ids[row][i] for i in range(t + 1) if counted[row][i]} - {target}
            total = total - chances[target].log()
            for candidate in candidates:
                total = total - ALPHA * (1 - chances[candidate]).log()
    return total


class Case:
    """Random states for some rows; labels are the ids where nothing else is said."""

    def __init__(
        self, ids: list[list[int]], labels: list[list[int]] | None = None, counted: list[list[bool]] | None = None
    ) -> None:
        self.ids, self.labels = ids, labels or ids
        self.counted = counted or [[True] * len(row) for row in ids]
        source = torch.Generator().manual_seed(0)
        shape = (len(ids), max(map(len, ids), default=0), D)
        self.hidden = torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_()
        self.weight = (2 * torch.randn(V, D, generator=source, dtype=torch.float64)).requires_grad_()

    def expected(self) -> Tensor:
        return by_formula(self.hidden @ self.weight.T, self.ids, self.labels, self.counted)

    def found(self, hidden: Tensor | None = None, weight: Tensor | None = None, alpha: float = ALPHA) -> Tensor:
        hidden, weight = self.hidden if hidden is None else hidden, self.weight if weight is None else weight
        wanted = torch.tensor(self.labels)[:, 1:]
        steps = wanted != -100
        seen = find_seen_tokens(torch.tensor(self.ids)[:, :-1], torch.tensor(self.counted)[:, :-1])
        criterion = Unlikelihood(wanted[steps], seen, steps, alpha)
        return summed_loss(hidden[:, :-1][steps], weight, criterion)

    def check(self) -> None:
        expected, found = self.expected(), self.found()
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        wanted = torch.autograd.grad(expected, (self.hidden, self.weight))
        for one, other in zip(torch.autograd.grad(found, (self.hidden, self.weight)), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


CASES = {
    "no repeat": [[1, 2, 3, 4, 5]],
    "a repeat": [[1, 2, 3, 1, 2]],
    "immediate repeats": [[1, 1, 2, 2, 2, 1]],
    "all equal": [[3, 3, 3, 3]],
    "two rows": [[1, 2, 1, 3], [4, 4, 2, 1]],
    "two tokens": [[1, 2]],
}


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("ids", CASES.values(), ids=CASES)
def test_value_and_gradients_are_those_of_the_formula(ids: list[list[int]]) -> None:
    Case(ids).check()


@pytest.mark.usefixtures("_chunks")
def test_value_and_gradients_are_those_of_the_formula_for_random_rows() -> None:
    """Some tokens are no labels, some do not count as seen."""
    source = random.Random(0)
    for _ in range(20):
        rows, length, few = source.randint(1, 4), source.randint(2, 12), source.randint(1, V)
        ids = [[source.randrange(few) for _ in range(length)] for _ in range(rows)]
        labels = [[token if source.random() < 0.7 else -100 for token in row] for row in ids]
        labels[0][-1] = ids[0][-1]  # something is predicted
        Case(ids, labels, [[source.random() < 0.8 for _ in row] for row in ids]).check()


@pytest.mark.usefixtures("_chunks")
def test_the_gradients_are_those_of_finite_differences() -> None:
    case = Case([[1, 2, 1, 1, 3], [4, 4, 2, 4, 4]])
    assert torch.autograd.gradcheck(lambda h, w: case.found(h, w), (case.hidden, case.weight))
    written = torch.tensor([1, 2, 2])
    hidden = case.hidden[0, :3].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda h, w: summed_loss(h, w, OwnUnlikelihood(written)), (hidden, case.weight))


def test_nothing_predicted_loses_nothing_and_teaches_nothing() -> None:
    for case in (Case([[1, 2, 3]], [[-100] * 3]), Case([[1]])):
        found = case.found()
        assert found.item() == 0.0
        found.backward()
        assert case.hidden.grad is not None and case.hidden.grad.eq(0).all()
        assert case.weight.grad is not None and case.weight.grad.eq(0).all()


def test_with_nothing_seen_it_is_the_cross_entropy_to_the_bit() -> None:
    case = Case(CASES["a repeat"], counted=[[False] * 5])
    assert torch.equal(case.found(), summed_cross_entropy(case.hidden[0, :-1], case.weight, torch.tensor([2, 3, 1, 2])))


def test_at_alpha_0_it_is_the_cross_entropy() -> None:
    case = Case(CASES["a repeat"])
    plain = summed_cross_entropy(case.hidden[0, :-1], case.weight, torch.tensor([2, 3, 1, 2]))
    torch.testing.assert_close(case.found(alpha=0.0), plain, rtol=1e-15, atol=0)


# The known mistakes


def chances_of(case: Case, step: int) -> Tensor:
    """The model's own probabilities of the token after `step`, without gradients."""
    return (case.hidden @ case.weight.T)[0, step].softmax(0).detach()


def penalty(case: Case) -> float:
    """What is not cross-entropy, for alpha = 1."""
    return float((case.found(alpha=1.0) - case.found(alpha=0.0)).detach())


def test_a_correct_repeat_is_not_punished() -> None:
    """5 5: the step that predicts the second 5 has seen a 5, and is to say it."""
    assert penalty(Case([[5, 5]])) == 0.0


def test_an_immediate_wrong_repeat_is_punished() -> None:
    """5 6: the step that predicts 6 has just read 5, and is not to say it again."""
    case = Case([[5, 6]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(chances_of(case, 0)[5])))


def test_a_token_is_no_candidate_before_it_is_read() -> None:
    case = Case([[5, 6, 7]], [[-100, 6, -100]])
    other = Case([[5, 6, 8]], [[-100, 6, -100]])
    assert penalty(case) == penalty(other) > 0


def test_a_candidate_that_stood_there_three_times_counts_once() -> None:
    case = Case([[5, 5, 5, 6]], [[-100, -100, -100, 6]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(chances_of(case, 2)[5])))


@pytest.mark.parametrize("padded", [[PAD, PAD, 5, 6], [5, PAD, PAD, 6], [5, 6, PAD, PAD]], ids=["left", "mid", "right"])
def test_padding_is_no_candidate(padded: list[int]) -> None:
    step = padded.index(6) - 1
    labels = [[token if token == 6 else -100 for token in padded]]
    case = Case([padded], labels, [[token != PAD for token in padded]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(chances_of(case, step)[5])))


def test_what_was_seen_in_one_row_is_no_candidate_in_another() -> None:
    together, first, second = Case([[5, 6], [7, 8]]), Case([[5, 6]]), Case([[7, 8]])
    for row, alone in enumerate((first, second)):
        alone.hidden, alone.weight = together.hidden[row : row + 1], together.weight
    assert penalty(together) == pytest.approx(penalty(first) + penalty(second))


# Extremes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_that_is_sure_of_a_repeat_has_a_finite_loss_and_a_gradient_against_it(dtype: torch.dtype) -> None:
    for sure in (1.0, 5.0, 20.0, 1e4):
        logits = torch.tensor([[sure, 0.0, -1.0]], dtype=dtype).requires_grad_()
        steps, labels = torch.ones(1, 1, dtype=torch.bool), torch.tensor([1])
        seen = find_seen_tokens(torch.tensor([[0]]), steps)
        found = summed_loss(logits, torch.eye(3, dtype=dtype), Unlikelihood(labels, seen, steps, 1.0))
        found.backward()
        assert logits.grad is not None
        chances = logits.detach().double().softmax(1)[0]
        expected = -float(logits.detach().double().log_softmax(1)[0, 1]) - math.log(
            max(float(chances[1:].sum()), MIN_PROBABILITY)
        )
        assert float(found.detach()) == pytest.approx(expected, rel=1e-6)
        assert float(logits.grad[0, 0]) == pytest.approx(2 * float(chances[0]), rel=1e-6)  # p (1 + alpha)
        assert float(logits.grad[0, 1]) <= -0.99 + float(chances[1])


def test_in_fp32_the_gradient_beside_a_likely_candidate_is_that_of_fp64() -> None:
    """Odds of a million beside others below one: their difference must not be taken."""
    logits = torch.tensor([[-86.0, -100.0, -101.0, -102.0]])
    seen = find_seen_tokens(torch.tensor([[0, 2, 3]]), torch.ones(1, 3, dtype=torch.bool))
    steps = torch.tensor([[False, False, True]])
    gradients = []
    for dtype in (torch.float32, torch.float64):
        states = logits.detach().clone().to(dtype).requires_grad_()
        criterion = Unlikelihood(torch.tensor([1]), seen, steps, ALPHA)
        summed_loss(states, torch.eye(4, dtype=dtype), criterion).backward()
        assert states.grad is not None
        gradients.append(states.grad.double())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("_chunks")
def test_under_bf16_autocast_value_and_gradients_are_near() -> None:
    case = Case(CASES["two rows"])
    expected = case.expected()
    wanted = torch.autograd.grad(expected, (case.hidden, case.weight))
    hidden, weight = (each.detach().float().requires_grad_() for each in (case.hidden, case.weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.found(hidden, weight)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0)
    for one, other in zip(torch.autograd.grad(found, (hidden, weight)), wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0.05, atol=0.05 * float(other.abs().max()))


def test_the_penalty_is_told_apart() -> None:
    ids = torch.tensor(CASES["a repeat"])
    steps = torch.ones(1, 4, dtype=torch.bool)
    case = Case(CASES["a repeat"])
    criterion = Unlikelihood(ids[0, 1:], find_seen_tokens(ids[:, :-1], steps), steps, 1.0)
    with torch.no_grad():
        summed_loss(case.hidden[0, :-1], case.weight, criterion)
    assert float(criterion.penalty) == pytest.approx(penalty(case))


# What the model writes itself


def repeats_by_formula(written: list[int], n: int) -> list[bool]:
    """A token is a candidate when an n-gram around it stood earlier in the row."""
    found = [False] * len(written)
    grams = [tuple(written[i : i + n]) for i in range(len(written) - n + 1)]
    for place, gram in enumerate(grams):
        if gram in grams[:place] and min(gram) >= 0:
            found[place : place + n] = [True] * n
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_candidates_of_a_continuation_are_the_tokens_of_repeated_ngrams(n: int) -> None:
    source = random.Random(n)
    for length in (0, 1, 3, 4, 5, 30):
        rows = [[source.randrange(-1, 3) for _ in range(length)] for _ in range(5)]
        expected = [repeats_by_formula(row, n) for row in rows]
        assert repeated_ngrams(torch.tensor(rows, dtype=torch.long).view(5, length), n).tolist() == expected


def test_a_loop_of_one_token_repeats_from_the_second_ngram_on() -> None:
    assert repeated_ngrams(torch.full((1, 6), 7), 4).tolist() == [[False, True, True, True, True, True]]


@pytest.mark.usefixtures("_chunks")
def test_the_loss_of_own_tokens_is_that_of_the_formula() -> None:
    case = Case([[1, 2, 3, 4, 5, 6]])
    written = torch.tensor([1, 1, 4, 0, 8, 2])
    expected = -(1 - (case.hidden[0] @ case.weight.T).softmax(1)[range(6), written]).log().sum()
    found = summed_loss(case.hidden[0], case.weight, OwnUnlikelihood(written))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, (case.hidden, case.weight))
    for one, other in zip(torch.autograd.grad(found, (case.hidden, case.weight)), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
