"""Mixin of training modules that mine hard negatives during training and keep them in checkpoints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.tokens.selection_dataset import SelectionDataset, TokenisedChoice
from convmodel.training.mined_negatives import MinedNegatives, add_negatives, mine_negatives

if TYPE_CHECKING:
    from convmodel.training.selector_module import SelectorModule
else:
    SelectorModule = object

STATE = "mined_negatives"
"""Key of the mined negatives in a checkpoint."""


class MiningModule(SelectorModule):
    """Mixin that adds mined negatives to the examples of each batch. A derived class names it before `SelectorModule`.

    Args:
        mined_negatives: When and how many hard negatives are mined during training; null mines none.
        options: See `SelectorModule`.
    """

    def __init__(self, mined_negatives: MinedNegatives | None = None, **options: Any) -> None:
        super().__init__(**options)
        given = mined_negatives
        self._mining = MinedNegatives(**given) if isinstance(given, dict) else given  # a dict in a checkpoint
        self._mined: Tensor | None = None
        self._mined_at = 0

    def batch_loss(self, examples: Sequence[TokenisedChoice]) -> Tensor:
        """Return the loss of a batch with the mined negatives; see `SelectorModule.batch_loss`."""
        if self._mining is None:
            return super().batch_loss(examples)
        dataset = self._train_set
        step = self.global_step
        if step and step % self._mining.every_steps == 0 and self._mined_at != step:
            rank_zero_info(f"step {step:,}: mining {self._mining.per_context} negatives for each context")
            with self.full_precision():
                self._mined = mine_negatives(cast(Any, self.selector), dataset, self._mining)
            self._mined_at = step
        if self._mined is not None:
            if len(self._mined) != len(dataset):
                raise ValueError(
                    f"the checkpoint has mined negatives of {len(self._mined):,} examples, but data.train_file has "
                    f"{len(dataset):,}; give the training file of the checkpoint"
                )
            examples = add_negatives(examples, self._mined, dataset)
        return super().batch_loss(examples)

    @property
    def _train_set(self) -> SelectionDataset:
        return cast(SelectionDataset, cast(Any, self.trainer).datamodule.dataset("train"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the mined negatives too, so that a resumed run has the same ones until they are mined again."""
        super().on_save_checkpoint(checkpoint)
        if self._mined is not None:
            checkpoint[STATE] = {"table": self._mined, "step": self._mined_at}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the mined negatives."""
        super().on_load_checkpoint(checkpoint)
        state = checkpoint.get(STATE)
        if self._mining is not None and state is not None:
            self._mined = state["table"]
            self._mined_at = state["step"]
