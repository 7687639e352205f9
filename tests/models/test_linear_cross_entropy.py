"""The loss without all logits, against the formula with all of them: values, gradients, chunks, precisions."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from convmodel.models import linear_cross_entropy as loss
from convmodel.models.linear_cross_entropy import summed_cross_entropy, token_losses

N, D, V = 7, 5, 11


def inputs(dtype: torch.dtype = torch.float64, *, rows: int = N) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, D, generator=source, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=source, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(V, (rows,), generator=source)


def by_formula(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ weight.T, labels, reduction="sum")


@pytest.fixture(autouse=True)
def _no_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks as small as a test wants them, and a table in several parts."""
    monkeypatch.setattr(loss, "MIN_TOKENS", 1)
    monkeypatch.setattr(loss, "GRADIENT_ROWS", 4)


@pytest.fixture(params=[1, 2, 3, 6, 7, 8, 1000], ids=lambda rows: f"{rows} tokens a chunk")
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", request.param * V + V - 1)
    yield


@pytest.mark.usefixtures("_chunks")
def test_value_and_gradients_equal_the_formula_for_every_chunk_size() -> None:
    hidden, weight, labels = inputs()
    expected = by_formula(hidden, weight, labels)
    wanted = torch.autograd.grad(3.5 * expected, (hidden, weight))
    outcome = summed_cross_entropy(hidden, weight, labels)
    assert outcome.shape == () and outcome.dtype == torch.float64
    torch.testing.assert_close(outcome, expected, rtol=1e-13, atol=0)
    for one, other in zip(torch.autograd.grad(3.5 * outcome, (hidden, weight)), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("_chunks")
def test_the_gradients_are_those_of_finite_differences() -> None:
    hidden, weight, labels = inputs()
    assert torch.autograd.gradcheck(lambda h, w: summed_cross_entropy(h, w, labels), (hidden, weight))


def test_a_chunk_has_at_least_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", 1)
    values = inputs()
    torch.testing.assert_close(summed_cross_entropy(*values), by_formula(*values))


class LargestResult(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result


def test_all_logits_are_never_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", 10 * V)
    hidden, weight, labels = inputs(rows=500)
    with LargestResult() as ours:
        summed_cross_entropy(hidden, weight, labels).backward()
    with LargestResult() as others:
        by_formula(hidden, weight, labels).backward()
    assert others.largest == 500 * V
    assert ours.largest == 500 * D  # the gradient of the states


def test_a_confident_model_neither_overflows_nor_loses_its_loss() -> None:
    hidden, weight = torch.tensor([[1e4]]), torch.tensor([[1.0], [-1.0]])
    assert summed_cross_entropy(hidden, weight, torch.tensor([0])).item() == 0.0
    assert summed_cross_entropy(hidden, weight, torch.tensor([1])).item() == 2e4


def test_only_tensors_that_require_gradients_get_them() -> None:
    for asks in ((True, False), (False, True)):
        hidden, weight, labels = inputs()
        hidden.requires_grad_(asks[0])
        weight.requires_grad_(asks[1])
        summed_cross_entropy(hidden, weight, labels).backward()
        assert [each.grad is not None for each in (hidden, weight)] == list(asks)


def test_gradients_add_up_over_batches() -> None:
    hidden, weight, labels = inputs()
    for part in (slice(0, 3), slice(3, N)):
        summed_cross_entropy(hidden[part], weight, labels[part]).backward()
    assert hidden.grad is not None and weight.grad is not None
    wanted = torch.autograd.grad(by_formula(hidden, weight, labels), (hidden, weight))
    torch.testing.assert_close(hidden.grad, wanted[0])
    torch.testing.assert_close(weight.grad, wanted[1])


def test_without_gradients_the_value_is_the_same_and_no_memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", 10 * V)
    hidden, weight, labels = inputs(rows=500)
    with torch.no_grad(), LargestResult() as seen:
        outcome = summed_cross_entropy(hidden, weight, labels)
    assert not outcome.requires_grad
    assert seen.largest == 10 * V  # one chunk of logits: no gradient of the states was made
    torch.testing.assert_close(outcome, by_formula(hidden, weight, labels).detach())
    with torch.inference_mode():
        assert summed_cross_entropy(hidden, weight, labels).item() == outcome.item()


def test_a_second_derivative_is_refused() -> None:
    hidden, weight, labels = inputs()
    squared = summed_cross_entropy(hidden, weight, labels).square()
    [gradient] = torch.autograd.grad(squared, hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_second_backward_pass_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", 2 * V)
    hidden, weight, labels = inputs()
    outcome = summed_cross_entropy(hidden, weight, labels)
    first = torch.autograd.grad(3 * outcome, (hidden, weight), retain_graph=True)
    for one, other in zip(torch.autograd.grad(3 * outcome, (hidden, weight)), first, strict=True):
        assert torch.equal(one, other) and one.data_ptr() != other.data_ptr()


def test_a_large_vocabulary_is_not_read_for_chunks_of_few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "MIN_TOKENS", 200)
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", V)
    hidden, weight, labels = inputs(rows=500)
    with LargestResult() as seen:
        summed_cross_entropy(hidden, weight, labels)
    assert seen.largest == max(200 * V, 500 * D)


def test_no_tokens_have_zero_loss_and_zero_gradients() -> None:
    hidden, weight, labels = inputs(rows=0)
    outcome = summed_cross_entropy(hidden, weight, labels)
    assert outcome.item() == 0.0
    outcome.backward()
    assert hidden.grad is not None and hidden.grad.shape == (0, D)
    assert weight.grad is not None and weight.grad.eq(0).all()


@pytest.mark.usefixtures("_chunks")
def test_value_and_gradients_under_bf16_autocast_are_close_to_fp32() -> None:
    hidden, weight, labels = inputs(torch.float32)
    wanted = by_formula(hidden, weight, labels)
    gradients = torch.autograd.grad(wanted, (hidden, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = summed_cross_entropy(hidden, weight, labels)
    assert outcome.dtype == torch.float32
    torch.testing.assert_close(outcome, wanted, rtol=0.01, atol=0)
    for one, other in zip(torch.autograd.grad(outcome, (hidden, weight)), gradients, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 * float(other.abs().max()))


def test_bf16_states_and_weights_get_bf16_gradients_and_an_fp32_loss() -> None:
    hidden, weight, labels = inputs(torch.bfloat16)
    outcome = summed_cross_entropy(hidden, weight, labels)
    outcome.backward()
    assert outcome.dtype == torch.float32
    wide = [each.detach().float().requires_grad_() for each in (hidden, weight)]
    wanted = by_formula(wide[0], wide[1], labels)
    wanted.backward()
    torch.testing.assert_close(outcome, wanted, rtol=0.01, atol=0)
    for one, other in zip((hidden, weight), wide, strict=True):
        assert one.grad is not None and other.grad is not None and one.grad.dtype == torch.bfloat16
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=0.02, atol=0.02 * float(other.grad.abs().max()))


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("rows", [0, 1, N])
def test_the_loss_of_each_token_is_that_of_the_formula(rows: int) -> None:
    hidden, weight, labels = inputs(rows=rows)
    outcome = token_losses(hidden, lambda states: states @ weight.T, labels, vocab_size=len(weight))
    assert outcome.shape == (rows,) and not outcome.requires_grad
    torch.testing.assert_close(outcome, F.cross_entropy(hidden @ weight.T, labels, reduction="none").detach())


def test_losses_of_bf16_states_are_fp32() -> None:
    hidden, weight, labels = inputs(torch.bfloat16)
    assert token_losses(hidden, lambda states: states @ weight.T, labels, vocab_size=len(weight)).dtype == torch.float32
