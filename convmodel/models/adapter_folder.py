"""Reading of LoRA adapters from folders of peft as low-rank products, so that adapters can share one base model."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, cast

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from convmodel.data.json_file import read_json_object
from convmodel.generation.adapters import AdapterWeights, LowRank, with_adapter
from convmodel.generation.int8 import Int8Linear
from convmodel.models.adapter_source import AdapterSource
from convmodel.models.folder import checked_source
from convmodel.models.language_model import AnyLanguageModel
from convmodel.models.lora import ADAPTER, ADAPTER_WEIGHTS
from convmodel.models.model_source import ModelSource
from convmodel.models.weight_checks import check_finite

PREFIX = "base_model.model."
"""Prefix of the names of peft's weights; the name of the layer in the model follows."""

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""Endings of the names of a low-rank product's two factors, which are applied to the inputs in this order."""

ALONE = "serve its merged model alone (--model FOLDER), or leave it out"

HARMLESS = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "r", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("lora_alpha", "lora_dropout", "fan_in_fan_out", "use_rslora", "rank_pattern", "alpha_pattern", "bias"),
    *("init_lora_weights", "eva_config", "megatron_core", "qalora_group_size", "runtime_config"),
}
"""Options of peft's LoraConfig that may be set in an adapter that consists of low-rank products only."""

PLAIN_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Values of `init_lora_weights` that do not change the weights of the base model."""


@dataclass(frozen=True, slots=True)
class AdaptedModel(Generic[AnyLanguageModel]):
    """A model that shares the weights of a base model and applies an adapter, together with that adapter."""

    model: AnyLanguageModel
    adapter: AdapterWeights


def open_adapter(name_or_path: str, base: ModelSource) -> AdapterSource:
    """Return the source of an adapter for a base model, which need not be loaded yet.

    Args:
        name_or_path: the adapter's folder or Hub name.
        base: the source of the base model.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: for an adapter that is damaged, belongs to another base model, or changes more than low-rank
            products of linear layers.
    """
    source = AdapterSource.read(checked_source(name_or_path, needs=ADAPTER)).over(base)
    _check_base(source, base)
    _check_config(source.folder / ADAPTER, read_json_object(source.folder / ADAPTER))
    return source


def load_adapter(base: AnyLanguageModel, source: AdapterSource) -> AdaptedModel[AnyLanguageModel]:
    """Return a model that applies an adapter to a base model without copying the base model's weights.

    Tokenizer, layout and decoding options come from the adapter's folder if it has them, as for a merged adapter. The
    base model may be in int8.

    Args:
        base: the loaded base model.
        source: the result of `open_adapter`.

    Raises:
        FileNotFoundError, ValueError: see `LanguageModel.from_pretrained`.
        ValueError: for an adapter that does not fit the model.
    """
    adapter = read_adapter(source.folder, base.hf_model, title=source.name)
    adapted = source.with_own_generation(with_adapter(base.hf_model, adapter))
    return AdaptedModel(type(base).from_source(source, adapted), adapter)


def read_adapter(folder: Path, model: PreTrainedModel, *, title: str) -> AdapterWeights:
    """Read the low-rank products of an adapter for a model, in the model's dtype and on its device.

    Args:
        folder: the adapter's folder.
        model: the base model.
        title: the name of the adapter in errors.

    Raises:
        ValueError: for an adapter that does not fit the model, or has more than low-rank products of linear layers.
    """
    config = read_json_object(folder / ADAPTER)
    weights = load_file(folder / ADAPTER_WEIGHTS)
    check_finite(title, weights.items())
    layers = dict(cast(nn.Module, model).named_modules())
    adapter = {}
    for name in _layer_names(folder / ADAPTER_WEIGHTS, weights):
        down, up = (weights[f"{PREFIX}{name}{end}"].float() for end in (DOWN, UP))
        if (shape := (len(up), down.shape[1])) != (expected := _shape(layers.get(name))):
            raise ValueError(
                f"{title}: changes {name} of the shape {shape}, and the base model has "
                f"{'no such linear layer' if expected is None else f'{expected} there'}; give the model that it was "
                "trained on as --model"
            )
        up = up * _scale(config, name, len(down))
        adapter[name] = LowRank(*(part.to(model.device, model.dtype).contiguous() for part in (down, up)))
    return adapter


def _check_config(file: Path, config: Mapping[str, Any]) -> None:
    """Raise ValueError for an adapter with more than low-rank products."""
    for name, value in config.items():
        if value and name not in HARMLESS:
            raise ValueError(f"{file}: {name}={value!r}, which cannot share a base with other adapters; {ALONE}")
    if config.get("bias", "none") != "none":
        raise ValueError(f"{file}: bias={config['bias']!r}, of which only 'none' can share a base; {ALONE}")
    if (start := config.get("init_lora_weights")) not in PLAIN_STARTS:
        raise ValueError(
            f"{file}: init_lora_weights={start!r}, which changed the weights of the base; convert the adapter with "
            "peft: save_pretrained(folder, path_initial_model_for_weight_conversion=...)"
        )


def _layer_names(file: Path, weights: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the names of the layers that an adapter changes; raise ValueError for weights of any other type."""
    for name in sorted(weights):
        end = next((end for end in (DOWN, UP) if name.endswith(end)), None)
        layer = name.removeprefix(PREFIX).removesuffix(end or "")
        if end is None or f"{PREFIX}{layer}{DOWN}" not in weights or f"{PREFIX}{layer}{UP}" not in weights:
            raise ValueError(f"{file}: {name} is not half of a low-rank product of a linear layer; {ALONE}")
        if ".experts." in layer:
            raise ValueError(f"{file}: {name} belongs to an expert, whose adapters cannot share a base; {ALONE}")
        if end == DOWN:
            yield layer


def _shape(layer: nn.Module | None) -> tuple[int, int] | None:
    """Return the numbers of outputs and inputs of a linear layer; None for other modules."""
    if isinstance(layer, Conv1D):
        return layer.nf, layer.nx
    return (layer.out_features, layer.in_features) if isinstance(layer, nn.Linear | Int8Linear) else None


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """Return the factor that peft applies to a layer's low-rank product."""
    patterns = (config.get("alpha_pattern") or {}).items()
    found = (value for pattern, value in patterns if re.match(rf"(.*\.)?({pattern})$", name))
    alpha = float(next(found, config.get("lora_alpha", 8)))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _check_base(adapter: AdapterSource, base: ModelSource) -> None:
    """Raise ValueError when an adapter was trained on another base model than `base`.

    The adapter's configuration names its base model. If that is a Hub name, or a folder that does not exist because it
    may have been moved, only the last parts of the two names are compared.
    """
    named = adapter.base_name
    paths = Path(named), Path(base.name)
    if not named or named == base.name or (paths[0].exists() and paths[1].exists() and paths[0].samefile(paths[1])):
        return
    if paths[0].exists() or paths[0].name != paths[1].resolve().name:
        raise ValueError(
            f"{adapter.name}: was trained on {named}, and --model is {base.name}; give --model {named}, or, if they "
            f"are the same model, write this name as base_model_name_or_path into {ADAPTER}"
        )
