"""Optimiser that uses Muon for the matrices of a model's layers, and AdamW for its other weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer


class MuonAdamW(Optimizer):
    """Optimiser whose first parameter group is updated by Muon, and whose other groups are updated by AdamW.

    Both parts use the groups and the state of this object, so that schedules, gradient scaling and checkpoints see one
    optimiser. Muon's updates are scaled to the root mean square of AdamW's for matrices of any shape, stored as
    (in, out) or (out, in), so that one learning rate suits both parts. Source: arXiv:2502.16982.

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
        self._muon = Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._adamw = AdamW([*groups], lr=lr, betas=betas, fused=fused)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Make both parts use the parameter groups and the state of this object."""
        self._muon.param_groups = self.param_groups[:1]
        self._adamw.param_groups = self.param_groups[1:]
        self._muon.state = self._adamw.state = self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state, and pass it to both parts. `load_state_dict` calls this method."""
        super().__setstate__(state)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights, and return the loss of the closure, or None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._muon.step()
        self._adamw.step()
        return loss


def layer_matrices(model: nn.Module, head: Tensor | None) -> list[Tensor]:
    """Return the trained 2-D weights of a model, without embeddings and `head`, the weight of the output layer."""
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    return [p for p in model.parameters() if p.requires_grad and p.dim() == 2 and p not in tables and p is not head]
