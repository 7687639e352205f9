"""Folders with a LoRA adapter, written by peft or by training with `merge_lora: false`, as sources of a model."""

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

from convmodel.data.json_file import COPY_AGAIN, read_json_object
from convmodel.errors import install_command
from convmodel.generation.causal_lm import embedding_rows
from convmodel.models.folder import DAMAGE, has_file, local_folder, naming, summary
from convmodel.models.generation_file import GENERATION
from convmodel.models.lora import ADAPTER, ADAPTER_WEIGHTS, embedding_tables, last_names, quiet_peft
from convmodel.models.model_source import ModelSource
from convmodel.models.weight_checks import CONFIG, check_finite, check_weight_file, first_names
from convmodel.tokens.text_tokenizer import AnyTokenizer
from convmodel.tokens.tokenizer_files import VOCABULARIES


def is_adapter(name: str) -> bool:
    """Return whether a folder or Hub name holds an adapter without the weights of a complete model."""
    folder = Path(name)
    if folder.is_dir():
        return (folder / ADAPTER).is_file() and not [*folder.glob("model*.safetensors")]
    return not has_file(name, CONFIG) and has_file(name, ADAPTER)


def base_name(name: str) -> str:
    """Return the base model that an adapter's configuration names; "" if it names none, or for a complete model."""
    return AdapterSource.read(name).base_name if is_adapter(name) else ""


@dataclass(frozen=True, slots=True)
class AdapterSource(ModelSource):
    """An adapter that is merged into its base model when it is loaded.

    Args:
        name: the adapter's folder or Hub name.
        folder: the local folder of its files.
        base_name: the base model that the adapter's configuration names.
        base: the source of the base model; None until it is known.
    """

    folder: Path
    base_name: str
    base: ModelSource | None = None

    @classmethod
    def read(cls, name: str) -> "AdapterSource":
        """Return the adapter of a folder or Hub name, without its base; the name must be checked already.

        Raises:
            FileNotFoundError: when a file is missing.
            ValueError: when the adapter is not a LoRA adapter or is damaged.
        """
        folder = local_folder(name)
        options = read_json_object(folder / ADAPTER)
        if options.get("peft_type") != "LORA" or options.get("megatron_config"):
            raise ValueError(
                f"{folder / ADAPTER}: peft_type is {options.get('peft_type')!r}; only LORA is read, without "
                "megatron_config. Merge this adapter with peft (merge_and_unload), and give the folder of the result"
            )
        weights = folder / ADAPTER_WEIGHTS
        if not weights.is_file():
            raise FileNotFoundError(
                f"{weights}: is missing, and pickles (adapter_model.bin) are not read; save the adapter with a newer "
                f"peft, or {COPY_AGAIN}"
            )
        check_weight_file(weights)
        return cls(name, folder, str(options.get("base_model_name_or_path") or ""))

    def over(self, base: ModelSource) -> "AdapterSource":
        """Return a copy of the adapter's source with a base model."""
        return AdapterSource(self.name, self.folder, self.base_name, base)

    @contextlib.contextmanager
    def naming_base(self, base: str) -> Iterator[None]:
        """Re-raise errors of the block, which opens the base model, with the adapter's name and a remedy.

        Args:
            base: the name of the base model; "" raises a FileNotFoundError.
        """
        try:
            if not base:
                raise FileNotFoundError(f"{ADAPTER} names no base model")
            yield
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f"{self.name}: the base model of this adapter cannot be used ({summary(error)}); give the folder, file "
                f"or Hub name of its base as --base (base=... in Python), or as base_model_name_or_path in {ADAPTER}"
            ) from error

    @property
    def _base(self) -> ModelSource:
        assert self.base is not None
        return self.base

    def place_of(self, *files: str) -> str:
        """Return the adapter's folder if it has one of the files; otherwise see `ModelSource.place_of` of the base."""
        has_any = any((self.folder / file).is_file() for file in files)
        return str(self.folder) if has_any else self._base.place_of(*files)

    def config(self) -> PretrainedConfig:
        """Return the configuration of the base model."""
        return self._base.config()

    def load(self, config: PretrainedConfig, *, dtype: torch.dtype, rows: int = 0) -> PreTrainedModel:
        """Return the base model with the adapter merged into its weights.

        Weights are merged in float32, and then converted to `dtype`. Embedding tables with fewer than `rows` rows are
        enlarged before the adapter is read.

        Raises:
            FileNotFoundError, ValueError: when the base model cannot be loaded (see `ModelSource.load`), the adapter
                belongs to another model, or peft is not installed.
        """
        if importlib.util.find_spec("peft") is None:
            raise ValueError(f"{self.name}: merging an adapter needs peft: {install_command('train')}")
        model = self._base.load(config, dtype=torch.float32, rows=rows)
        merged = _merge_adapter(model, self.folder, title=self.name, base=self._base.name, rows=rows)
        cast(nn.Module, merged).to(dtype=dtype)
        return self.with_own_generation(merged)

    def with_own_generation(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the model with the decoding options of the adapter, if it has any."""
        if (self.folder / GENERATION).is_file():
            with naming(str(self.folder / GENERATION)):
                model.generation_config = GenerationConfig.from_pretrained(self.folder)
        return model

    def tokenizer(self, cls: type[AnyTokenizer]) -> AnyTokenizer:
        """Return the adapter's own tokenizer, or that of the base model."""
        if any((self.folder / name).is_file() for name in VOCABULARIES):
            return cls.from_pretrained(self.folder)
        return self._base.tokenizer(cls)


def _merge_adapter(model: PreTrainedModel, folder: Path, *, title: str, base: str, rows: int) -> PreTrainedModel:
    """Merge the adapter of a folder into the weights of a model, and return the model, which is changed in place.

    Args:
        model: the base model.
        folder: the adapter's folder.
        title: name of the adapter in errors.
        base: name of the base model in errors.
        rows: number of embeddings that the tokenizer needs; smaller tables are enlarged before the adapter is read.

    Raises:
        ValueError: when the adapter belongs to another model.
    """
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    weights = load_file(folder / ADAPTER_WEIGHTS)
    check_finite(title, weights.items())
    try:
        with quiet_peft(), torch.no_grad():
            config: Any = LoraConfig.from_pretrained(str(folder))
            config.init_lora_weights = True  # other initial values would be computed in vain: the file replaces them
            if rows > (known := embedding_rows(model)):
                _check_new_rows(title, base, weights, config, range(known, rows))
                model.resize_token_embeddings(rows, mean_resizing=False)
            _untie(model, config)
            adapted: Any = get_peft_model(cast(Any, model), config)
            report: Any = set_peft_model_state_dict(adapted, weights)
            missing = _missing(adapted, report.missing_keys)
            if missing or report.unexpected_keys:
                raise ValueError(f"no place for {first_names(sorted(report.unexpected_keys) or missing)}")
            merged: PreTrainedModel = adapted.merge_and_unload()
    except DAMAGE as error:
        raise ValueError(
            f"{title}: the adapter does not fit the base model {base} ({summary(error)}); give the model that it was "
            "trained on as --base (base=... in Python)"
        ) from error
    return cast(PreTrainedModel, cast(nn.Module, merged).requires_grad_(True))


def _missing(adapted: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of an adapter's weights that were loaded neither by their own name nor by that of a tied weight.

    Args:
        adapted: the model with the adapter.
        names: the names that the file lacks.
    """
    weights = dict(adapted.named_parameters(remove_duplicate=False))
    loaded = {id(weight) for name, weight in weights.items() if name not in {*names}}
    parts = ("lora_", "trainable_tokens_delta", "modules_to_save")
    return [name for name in names if any(part in name for part in parts) and id(weights.get(name)) not in loaded]


def _check_new_rows(title: str, base: str, weights: dict[str, Tensor], config: Any, new_rows: range) -> None:
    """Raise ValueError when an adapter has no embeddings for those tokens of its tokenizer that the base model lacks.

    Args:
        new_rows: the ids of these tokens.
    """
    trained = config.trainable_token_indices
    by_module = trained.values() if isinstance(trained, dict) else [trained or []]
    has_rows = any({*new_rows} <= {*rows} for rows in by_module)
    if not has_rows and not any(tensor.ndim == 2 and len(tensor) >= new_rows.stop for tensor in weights.values()):
        raise ValueError(
            f"the tokenizer of {title} has {new_rows.stop:,} tokens, {base} has embeddings for {new_rows.start:,}, and "
            "the adapter has none for the others"
        )


def _untie(model: PreTrainedModel, config: Any) -> None:
    """Untie the output layer from the input embeddings if an adapter changes only one of them."""
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    names = [config.target_modules, config.modules_to_save]
    changed = {name for group in names for name in ([group] if isinstance(group, str) else group or ())}
    is_changed = not {name.rpartition(".")[2] for name in changed}.isdisjoint(last_names(embedding_tables(model)))
    if outputs.weight is inputs.weight and is_changed and not config.ensure_weight_tying:
        outputs.weight = nn.Parameter(cast(Tensor, inputs.weight).detach().clone())
        model.config.tie_word_embeddings = False
