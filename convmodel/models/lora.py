"""LoRA: training of small adapters inside a language model, whose own weights are frozen."""

import contextlib
import copy
import importlib.util
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from convmodel.errors import install_command
from convmodel.models.folder import weights_digest
from convmodel.models.quantization import quantize_layers

ALL_LINEAR = "all-linear"
"""Value of `target_modules` for all linear layers except the output layer."""

LORA_RATE = 2e-4
"""Default of the peak learning rate for adapters."""

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass
class Lora:
    """Low-rank adapters: only they are trained, and the weights of the model are frozen. Source: arXiv:2106.09685.

    Args:
        r: Rank of the adapters.
        alpha: Scale of the adapters; their product is multiplied by alpha / r.
        dropout: Dropout of the adapters' input.
        target_modules: Names of the linear layers that get an adapter, such as `[q_proj, v_proj]`; "all-linear" is all
            but the output layer.
        modules_to_save: Names of modules whose own weights are trained, such as `[embed_tokens]`.
    """

    r: int = 8
    alpha: float = 16
    dropout: float = 0.0
    target_modules: list[str] | str = ALL_LINEAR
    modules_to_save: list[str] | None = None

    @property
    def targets(self) -> list[str] | None:
        """Names of the layers that get an adapter; None for all linear layers."""
        if self.target_modules == ALL_LINEAR:
            return None
        return [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules

    def check(self, pretrained: str | None) -> None:
        """Raise ValueError for values out of range or without a pretrained model, and ImportError without peft."""
        if self.r < 1:
            raise ValueError(f"model.lora.r={self.r}; it must be at least 1")
        if self.alpha <= 0:
            raise ValueError(f"model.lora.alpha={self.alpha}; it must be above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.lora.dropout={self.dropout}; it must be at least 0.0 and below 1.0")
        if importlib.util.find_spec("peft") is None:
            raise ImportError(f"model.lora needs peft: {install_command('train')}")
        if pretrained is None:
            raise ValueError(
                "model.lora adapts a trained model: give its name or folder as model.pretrained_model_name_or_path, or "
                "leave model.lora out"
            )


class Adapter:
    """The adapters inside a language model. Layers with adapters replace some of its linear layers.

    Args:
        model: Model whose weights are frozen; its layers are replaced in place.
        options: Sizes of the adapters, and the layers that get them.
        base: Folder or Hub name of the model, which is written to the adapter's configuration.
        new_rows: Ids of embeddings that were added to the model; all their weights are trained.
        quantize: Whether the frozen layers under the adapters are quantized to 4 bits.

    Raises:
        ValueError: for names of layers that the model does not have, or that cannot have an adapter.
    """

    def __init__(
        self, model: PreTrainedModel, options: Lora, *, base: str, new_rows: range = range(0), quantize: bool = False
    ) -> None:
        from peft import LoraConfig, get_peft_model

        self.digest = weights_digest(model.config.model_type, _base_weights(model, new_rows))
        """Digest of the base model's weights."""
        _check_names(model, options)
        targets = options.targets or sorted(_linear_layers(model))
        if quantize:
            quantize_layers(model, {*targets})
        ties = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        saved = options.modules_to_save
        tables = last_names(embedding_tables(model))
        trains_tied = ties and not tables.isdisjoint(saved or ())
        if trains_tied:  # with both names, because peft finds tied weights by the name of the output layer
            saved = sorted({*tables, *(saved or ())})
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=options.r,
            lora_alpha=int(options.alpha) if options.alpha == int(options.alpha) else cast(int, options.alpha),
            lora_dropout=options.dropout,
            target_modules=targets,
            modules_to_save=copy.copy(saved),
            trainable_token_indices=_rows_by_module(model, new_rows, ties, {*(saved or ())}),
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
            ensure_weight_tying=trains_tied,
        )
        with quiet_peft():
            self._peft: Any = get_peft_model(cast(Any, model), config)
        config.modules_to_save = saved  # peft removed the output layer from the list, but needs it to load the adapter
        config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).is_dir() else base

    def merged(self, fresh: PreTrainedModel | None = None) -> PreTrainedModel:
        """Return a model with the adapters merged into its weights; the model being trained does not change.

        Args:
            fresh: a newly loaded copy of the base model, which is changed and returned. By default the base model under
                the adapters is copied, which must not be quantized.
        """
        with quiet_peft(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            if fresh is None:
                adapted = copy.deepcopy(self._peft)
            else:
                from peft import PeftModel

                self.save(Path(folder))
                adapted = PeftModel.from_pretrained(cast(Any, fresh), folder)
            merged: PreTrainedModel = adapted.merge_and_unload()
        return merged.requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors."""
        with quiet_peft():
            self._peft.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's model card is only a template


def describe_parameters(model: nn.Module) -> str:
    """Return a text with the numbers of parameters, such as "trainable 2.4 M of 134.5 M parameters"."""
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if trained == total:
        return f"{total:,} parameters"
    return f"trainable {_millions(trained)} of {_millions(total)} parameters"


def _millions(count: int) -> str:
    return f"{count:,}" if count < 100_000 else f"{count / 1e6:,.1f} M"


def _base_weights(model: PreTrainedModel, new_rows: range) -> dict[str, Tensor]:
    """Return the weights of a model without the rows that were added to its embeddings."""
    weights = dict(cast(nn.Module, model).named_parameters())
    tables = {id(module.weight) for module in embedding_tables(model).values()}
    kept = new_rows.start if len(new_rows) else None
    return {name: weight[:kept] if id(weight) in tables else weight for name, weight in weights.items()}


def embedding_tables(model: PreTrainedModel) -> dict[str, Any]:
    """Return the input embeddings and the output layer of a model, by their names in the model."""
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    return {name: module for name, module in cast(nn.Module, model).named_modules() if module in tables}


def _rows_by_module(
    model: PreTrainedModel, new_rows: range, ties: bool, whole: set[str]
) -> dict[str, list[int]] | None:
    """Return the ids of rows to train in the input embeddings and the output layer, for peft's configuration.

    Args:
        model: the model.
        new_rows: the ids.
        ties: whether the two tables are tied; then only one of them is returned.
        whole: names of modules that are trained completely, which are left out.

    Returns:
        The ids by the last part of the table's name; None if there are none.
    """
    tables = [*embedding_tables(model)][: 1 if ties else 2] if len(new_rows) else []
    return {name: [*new_rows] for name in last_names(tables) - whole} or None


def last_names(names: Iterable[str]) -> set[str]:
    """Return the last parts of dotted names: "q_proj" for "layers.0.q_proj"."""
    return {name.rpartition(".")[2] for name in names}


def _linear_layers(model: PreTrainedModel) -> set[str]:
    """Return the last parts of the names of the linear layers that can have an adapter."""
    modules = cast(nn.Module, model).named_modules()
    names = last_names(name for name, module in modules if isinstance(module, nn.Linear | Conv1D))
    return names - last_names(embedding_tables(model))


def _check_names(model: PreTrainedModel, options: Lora) -> None:
    """Raise ValueError for names in the options that the model does not have, or that cannot have an adapter."""
    modules = {name.rpartition(".")[2]: module for name, module in cast(nn.Module, model).named_modules()}
    tables = last_names(embedding_tables(model))
    linear = _linear_layers(model)
    for name in options.targets or ():
        if name in tables:
            raise ValueError(f"model.lora.target_modules: {name} cannot have an adapter; put it in modules_to_save")
        if name not in linear:
            raise ValueError(
                f"model.lora.target_modules: the model has no linear layer {name!r}; its linear layers are "
                f"{', '.join(sorted(linear))}, or give {ALL_LINEAR}"
            )
    for name in options.modules_to_save or ():
        if name not in modules:
            raise ValueError(
                f"model.lora.modules_to_save: the model has no module {name!r}; it has "
                f"{', '.join(sorted(name for name in modules if name and not name.isdigit()))}"
            )


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence warnings of peft about options that this module sets on purpose, and about deprecated functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
