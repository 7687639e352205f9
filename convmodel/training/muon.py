"""Optimiser that uses Muon for the matrices of a model's layers, and AdamW for its other weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from convmodel.models.devices import has_fast_bf16

MOMENTUM = 0.95

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Coefficients of the Newton-Schulz iteration: a X + b (X X^T) X + c (X X^T)^2 X."""

ITERATIONS = 5

RMS = 0.2
"""Root mean square of an update divided by the learning rate, as AdamW's updates have it."""


class MuonAdamW(Optimizer):
    """Optimiser whose first parameter group is updated by Muon, and whose other groups are updated by AdamW.

    Both parts use the groups and the state of this object, so that schedules, gradient scaling and checkpoints see one
    optimiser. Muon's updates are scaled to the root mean square of AdamW's for matrices of any shape, stored as
    (in, out) or (out, in), so that one learning rate suits both parts. Source: arXiv:2502.16982.

    `torch.optim.Muon` computes its products in bfloat16 everywhere. Here they are computed in float32 on machines where
    bfloat16 is slow.

    Args:
        matrices: 2-D weights that Muon updates.
        groups: Groups of the other weights, each with a weight decay.
        lr: Learning rate of all weights.
        weight_decay: Weight decay of the matrices.
        betas: Averaging coefficients of AdamW.
        fused: Whether AdamW uses a fused kernel.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        groups: Sequence[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        fused: bool,
    ) -> None:
        of_muon = {"params": [*matrices], "lr": lr, "weight_decay": weight_decay}
        self._adamw = AdamW([*groups], lr=lr, betas=betas, fused=fused)
        super().__init__([of_muon, *self._adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Make AdamW use the parameter groups and the state of this object."""
        self._adamw.param_groups = self.param_groups[1:]
        self._adamw.state = self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state, and pass it to AdamW. `load_state_dict` calls this method."""
        super().__setstate__(state)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights, and return the loss of the closure, or None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_muon(self.param_groups[0])
        self._adamw.step()
        return loss

    @torch.no_grad()
    def _step_muon(self, group: dict[str, Any]) -> None:
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(matrix)
            mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
            update = orthogonalize(matrix.grad.lerp(mean, MOMENTUM))  # Nesterov's momentum
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(update, alpha=-group["lr"] * RMS * max(matrix.shape) ** 0.5)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of `matrix` and singular values near 1, by Newton-Schulz iterations.

    The products are computed in bfloat16 where it is fast on the device, else in float32.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).to(torch.bfloat16 if has_fast_bf16(matrix.device) else torch.float32)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


def layer_matrices(model: nn.Module, head: Tensor | None) -> list[Tensor]:
    """Return the trained 2-D weights of a model, without embeddings and `head`, the weight of the output layer."""
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    return [p for p in model.parameters() if p.requires_grad and p.dim() == 2 and p not in tables and p is not head]
