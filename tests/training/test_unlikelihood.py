"""Chunked unlikelihood loss, compared with the formulas of the paper: values, gradients and candidates."""

import math
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from convmodel.models import linear_cross_entropy
from convmodel.models.linear_cross_entropy import summed_cross_entropy, summed_loss
from convmodel.training.unlikelihood import (
    MIN_PROBABILITY,
    OwnUnlikelihood,
    Unlikelihood,
    find_seen_tokens,
    repeated_ngrams,
)

D = 4
V = 9
PAD = 0
ALPHA = 0.7


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow chunks of any size, and accumulate the gradient of the embedding table in several parts."""
    monkeypatch.setattr(linear_cross_entropy, "MIN_TOKENS", 1)
    monkeypatch.setattr(linear_cross_entropy, "GRADIENT_ROWS", 4)


@pytest.fixture(params=[1, 2, 5, 1000], ids=lambda rows: f"{rows} tokens a chunk")
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(linear_cross_entropy.CHUNK_ELEMENTS, "cpu", request.param * V)
    yield


def loss_by_formula(logits: Tensor, ids: list[list[int]], labels: list[list[int]], counted: list[list[bool]]) -> Tensor:
    """Return the loss of arXiv:1908.04319, equations 3 to 5: step t reads x_1 .. x_t and predicts x_{t+1}."""
    loss_sum = logits.new_zeros(())
    for row in range(len(ids)):
        for t in range(len(ids[row]) - 1):
            target = labels[row][t + 1]
            if target == -100:
                continue
            probabilities = logits[row, t].softmax(0)
            candidates = {ids[row][i] for i in range(t + 1) if counted[row][i]} - {target}
            loss_sum = loss_sum - probabilities[target].log()
            for candidate in candidates:
                loss_sum = loss_sum - ALPHA * (1 - probabilities[candidate]).log()
    return loss_sum


class Case:
    """Random hidden states for some rows; the labels default to the ids."""

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
        return loss_by_formula(self.hidden @ self.weight.T, self.ids, self.labels, self.counted)

    def loss(self, hidden: Tensor | None = None, weight: Tensor | None = None, alpha: float = ALPHA) -> Tensor:
        hidden = self.hidden if hidden is None else hidden
        weight = self.weight if weight is None else weight
        targets = torch.tensor(self.labels)[:, 1:]
        steps = targets != -100
        seen = find_seen_tokens(torch.tensor(self.ids)[:, :-1], torch.tensor(self.counted)[:, :-1])
        criterion = Unlikelihood(targets[steps], seen, steps, alpha)
        return summed_loss(hidden[:, :-1][steps], weight, criterion)

    def check(self) -> None:
        expected = self.expected()
        loss = self.loss()
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
        references = torch.autograd.grad(expected, (self.hidden, self.weight))
        for gradient, reference in zip(torch.autograd.grad(loss, (self.hidden, self.weight)), references, strict=True):
            torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)


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
    """Some tokens have no labels, and some are not counted as seen."""
    source = random.Random(0)
    for _ in range(20):
        rows = source.randint(1, 4)
        length = source.randint(2, 12)
        vocabulary = source.randint(1, V)
        ids = [[source.randrange(vocabulary) for _ in range(length)] for _ in range(rows)]
        labels = [[token if source.random() < 0.7 else -100 for token in row] for row in ids]
        labels[0][-1] = ids[0][-1]  # something is predicted
        Case(ids, labels, [[source.random() < 0.8 for _ in row] for row in ids]).check()


@pytest.mark.usefixtures("_chunks")
def test_the_gradients_are_those_of_finite_differences() -> None:
    case = Case([[1, 2, 1, 1, 3], [4, 4, 2, 4, 4]])
    assert torch.autograd.gradcheck(lambda h, w: case.loss(h, w), (case.hidden, case.weight))
    written = torch.tensor([1, 2, 2])
    hidden = case.hidden[0, :3].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda h, w: summed_loss(h, w, OwnUnlikelihood(written)), (hidden, case.weight))


def test_without_labels_loss_and_gradients_are_0() -> None:
    for case in (Case([[1, 2, 3]], [[-100] * 3]), Case([[1]])):
        loss = case.loss()
        assert loss.item() == 0.0
        loss.backward()
        assert case.hidden.grad is not None and case.hidden.grad.eq(0).all()
        assert case.weight.grad is not None and case.weight.grad.eq(0).all()


def test_without_seen_tokens_the_loss_is_exactly_the_cross_entropy() -> None:
    case = Case(CASES["a repeat"], counted=[[False] * 5])
    assert torch.equal(case.loss(), summed_cross_entropy(case.hidden[0, :-1], case.weight, torch.tensor([2, 3, 1, 2])))


def test_at_alpha_0_the_loss_is_the_cross_entropy() -> None:
    case = Case(CASES["a repeat"])
    plain = summed_cross_entropy(case.hidden[0, :-1], case.weight, torch.tensor([2, 3, 1, 2]))
    torch.testing.assert_close(case.loss(alpha=0.0), plain, rtol=1e-15, atol=0)


# Candidates


def probabilities_of(case: Case, step: int) -> Tensor:
    """Return the model's probabilities of the token after `step`, without gradients."""
    return (case.hidden @ case.weight.T)[0, step].softmax(0).detach()


def penalty(case: Case) -> float:
    """Return the loss at alpha = 1 without the cross-entropy."""
    return float((case.loss(alpha=1.0) - case.loss(alpha=0.0)).detach())


def test_a_correct_repeat_has_no_penalty() -> None:
    """5 5: the step that predicts the second 5 has seen a 5, and is to say it."""
    assert penalty(Case([[5, 5]])) == 0.0


def test_an_immediate_wrong_repeat_has_a_penalty() -> None:
    """5 6: the step that predicts 6 has just read 5, and is not to say it again."""
    case = Case([[5, 6]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(probabilities_of(case, 0)[5])))


def test_a_token_is_no_candidate_before_it_is_read() -> None:
    case = Case([[5, 6, 7]], [[-100, 6, -100]])
    other = Case([[5, 6, 8]], [[-100, 6, -100]])
    assert penalty(case) == penalty(other) > 0


def test_a_token_seen_three_times_is_counted_once() -> None:
    case = Case([[5, 5, 5, 6]], [[-100, -100, -100, 6]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(probabilities_of(case, 2)[5])))


@pytest.mark.parametrize("padded", [[PAD, PAD, 5, 6], [5, PAD, PAD, 6], [5, 6, PAD, PAD]], ids=["left", "mid", "right"])
def test_padding_is_no_candidate(padded: list[int]) -> None:
    step = padded.index(6) - 1
    labels = [[token if token == 6 else -100 for token in padded]]
    case = Case([padded], labels, [[token != PAD for token in padded]])
    assert penalty(case) == pytest.approx(-math.log(1 - float(probabilities_of(case, step)[5])))


def test_tokens_of_one_row_are_no_candidates_in_another() -> None:
    both_rows = Case([[5, 6], [7, 8]])
    first = Case([[5, 6]])
    second = Case([[7, 8]])
    for row, single_row in enumerate((first, second)):
        single_row.hidden, single_row.weight = both_rows.hidden[row : row + 1], both_rows.weight
    assert penalty(both_rows) == pytest.approx(penalty(first) + penalty(second))


# Extremes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_certain_repeat_has_a_finite_loss_and_gradient(dtype: torch.dtype) -> None:
    for logit in (1.0, 5.0, 20.0, 1e4):
        logits = torch.tensor([[logit, 0.0, -1.0]], dtype=dtype).requires_grad_()
        steps = torch.ones(1, 1, dtype=torch.bool)
        labels = torch.tensor([1])
        seen = find_seen_tokens(torch.tensor([[0]]), steps)
        loss = summed_loss(logits, torch.eye(3, dtype=dtype), Unlikelihood(labels, seen, steps, 1.0))
        loss.backward()
        assert logits.grad is not None
        probabilities = logits.detach().double().softmax(1)[0]
        expected = -float(logits.detach().double().log_softmax(1)[0, 1]) - math.log(
            max(float(probabilities[1:].sum()), MIN_PROBABILITY)
        )
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
        assert float(logits.grad[0, 0]) == pytest.approx(2 * float(probabilities[0]), rel=1e-6)  # p (1 + alpha)
        assert float(logits.grad[0, 1]) <= -0.99 + float(probabilities[1])


def test_fp32_gradients_with_a_likely_candidate_equal_fp64() -> None:
    """Subtracting odds of very different magnitude would lose precision."""
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
def test_value_and_gradients_are_close_under_bf16_autocast() -> None:
    case = Case(CASES["two rows"])
    expected = case.expected()
    references = torch.autograd.grad(expected, (case.hidden, case.weight))
    hidden, weight = (tensor.detach().float().requires_grad_() for tensor in (case.hidden, case.weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = case.loss(hidden, weight)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=0.02, atol=0)
    for gradient, reference in zip(torch.autograd.grad(loss, (hidden, weight)), references, strict=True):
        torch.testing.assert_close(gradient.double(), reference, rtol=0.05, atol=0.05 * float(reference.abs().max()))


def test_the_penalty_is_recorded_separately() -> None:
    ids = torch.tensor(CASES["a repeat"])
    steps = torch.ones(1, 4, dtype=torch.bool)
    case = Case(CASES["a repeat"])
    criterion = Unlikelihood(ids[0, 1:], find_seen_tokens(ids[:, :-1], steps), steps, 1.0)
    with torch.no_grad():
        summed_loss(case.hidden[0, :-1], case.weight, criterion)
    assert float(criterion.penalty) == pytest.approx(penalty(case))


# Continuations


def repeats_by_formula(written: list[int], n: int) -> list[bool]:
    """Return for each token whether it is in an n-gram that occurred earlier in the row."""
    repeated = [False] * len(written)
    grams = [tuple(written[i : i + n]) for i in range(len(written) - n + 1)]
    for position, gram in enumerate(grams):
        if gram in grams[:position] and min(gram) >= 0:
            repeated[position : position + n] = [True] * n
    return repeated


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_candidates_of_a_continuation_are_the_tokens_of_repeated_ngrams(n: int) -> None:
    source = random.Random(n)
    for length in (0, 1, 3, 4, 5, 30):
        rows = [[source.randrange(-1, 3) for _ in range(length)] for _ in range(5)]
        expected = [repeats_by_formula(row, n) for row in rows]
        assert repeated_ngrams(torch.tensor(rows, dtype=torch.long).view(5, length), n).tolist() == expected


def test_a_loop_of_one_token_repeats_from_the_second_ngram() -> None:
    assert repeated_ngrams(torch.full((1, 6), 7), 4).tolist() == [[False, True, True, True, True, True]]


@pytest.mark.usefixtures("_chunks")
def test_the_loss_of_continuations_is_that_of_the_formula() -> None:
    case = Case([[1, 2, 3, 4, 5, 6]])
    written = torch.tensor([1, 1, 4, 0, 8, 2])
    expected = -(1 - (case.hidden[0] @ case.weight.T).softmax(1)[range(6), written]).log().sum()
    loss = summed_loss(case.hidden[0], case.weight, OwnUnlikelihood(written))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    references = torch.autograd.grad(expected, (case.hidden, case.weight))
    for gradient, reference in zip(torch.autograd.grad(loss, (case.hidden, case.weight)), references, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
