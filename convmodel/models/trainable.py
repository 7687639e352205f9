"""Training of models by their methods `fit` and `from_scratch`, which import the trainer when they are called."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from convmodel.errors import install_command

if TYPE_CHECKING:
    from convmodel.training.fit_result import FitResult

Data = str | os.PathLike[str] | Iterable[Any]
"""Data of a split: a path, several paths, or an iterable of conversations, documents or selection examples."""


class Trainable:
    """Mixin with the methods that train a model."""

    fit_result: "FitResult | None" = None
    """Result of the last training in this process; None without one."""

    def fit(
        self,
        train: Data,
        valid: Data | None = None,
        *,
        save_to: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> "FitResult":
        """Train the model further, in place, and return what the validations found.

        The run is that of `python -m convmodel train` with the same options, modules and callbacks. Afterwards the
        model has the weights of the best validation; without `valid`, the last ones. A KeyboardInterrupt ends the
        training after the current step, and the model has the best weights so far. Without `save_to` and
        `default_root_dir` no file remains.

        Args:
            train: training data: a path, a folder, a glob or `hub://...`; several of them; or any iterable of
                conversations, each a list of texts or a `Conversation`. A selector also takes `SelectionExample`s. A
                document model takes texts and `Document`s, and several files only as `Path` objects.
            valid: validation data, by which the best weights are selected.
            save_to: a folder in which the best model is also saved, as by `export_dir` of the command.
            options: options of the sections model, data and trainer of a config by their names, such as
                `learning_rate=1e-4`, `tokens_per_batch=1024`, `max_epochs=2`, `lora={"r": 8}`; or in their sections,
                `trainer={"max_epochs": 2}`. Also `samples={...}`, and `seed_everything`.

        Raises:
            TypeError: for an unknown option, or an item of `train` or `valid` of another type.
            ValueError, OSError: for a value that is not allowed, or a file that cannot be read.
            ModuleNotFoundError: when the libraries of the extra [train] are not installed.

        Example:
            >>> model = ConversationModel.from_pretrained("gpt2")
            >>> model.fit([["Hello", "Hi!"], ["Tea?", "Yes, please."]], max_epochs=1)
            FitResult(not validated; 1 step in 1 epoch, 2 s)
        """
        result = cast("FitResult", _trainer().fit_model(self, train, valid, save_to=save_to, **options))
        self.fit_result = result
        return result

    @classmethod
    def from_scratch(
        cls,
        train: Data,
        valid: Data | None = None,
        *,
        size: Mapping[str, Any] | None = None,
        save_to: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Return a model with new weights, and for texts a new vocabulary, that was trained on some data.

        Its `fit_result` holds what the validations found.

        Args:
            train, valid, save_to, options: see `fit`.
            size: sizes of the model: the options of `from_scratch` in the section model of a config, such as
                `{"n_layer": 2, "n_embd": 256}`; of a selector those of `new_encoder` (`{"layers": 2, "width": 256}`),
                and of ConveRT those of `sizes`. By default the sizes of a config without this option.

        Raises:
            TypeError, ValueError, OSError, ModuleNotFoundError: see `fit`.
        """
        model, result = _trainer().new_model(cls, train, valid, size=size, save_to=save_to, **options)
        model.fit_result = result
        return cast(Self, model)


def _trainer() -> Any:
    """Return the module that trains. It is imported here because it imports all models."""
    try:
        from convmodel.training import fitting
    except ModuleNotFoundError as error:
        if (error.name or "convmodel").startswith("convmodel"):
            raise
        message = f"training needs {error.name}; {install_command('train')}"
        raise ModuleNotFoundError(message, name=error.name) from None
    return fitting
