"""Folders with a LoRA adapter, as peft and training with `merge_lora: false` write them, over a base model."""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

from convmodel.data.json_file import COPY_AGAIN, read_json_object
from convmodel.models.folder import has_file, local_folder, naming, summary
from convmodel.models.generation_file import GENERATION
from convmodel.models.lora import ADAPTER, ADAPTER_WEIGHTS, merge_adapter
from convmodel.models.model_source import ModelSource
from convmodel.models.weight_checks import CONFIG, check_weight_file
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer
from convmodel.tokens.tokenizer_files import VOCABULARIES


def is_adapter(name: str) -> bool:
    """Return whether a folder or Hub name holds an adapter, and not a whole model beside it."""
    folder = Path(name)
    if folder.is_dir():
        return (folder / ADAPTER).is_file() and not [*folder.glob("model*.safetensors")]
    return not has_file(name, CONFIG) and has_file(name, ADAPTER)


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
        """Return the adapter of a folder or Hub name that is checked, without its base.

        Raises:
            FileNotFoundError: when a file is missing.
            ValueError: when peft is missing, or the adapter is no LoRA, a pickle or damaged.
        """
        if importlib.util.find_spec("peft") is None:
            raise ValueError(f'{name}: reading an adapter needs peft: pip install "convmodel[train]"')
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
        """Return the adapter over a base model."""
        return AdapterSource(self.name, self.folder, self.base_name, base)

    @contextlib.contextmanager
    def naming_base(self, base: str) -> Iterator[None]:
        """Turn an error inside the block for a base model that is missing or unusable into one with the remedy."""
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
        """Return the adapter's folder if it has one of the files, else the place in which the base has them."""
        has_any = any((self.folder / file).is_file() for file in files)
        return str(self.folder) if has_any else self._base.place_of(*files)

    def config(self) -> PretrainedConfig:
        """Return the configuration of the base model."""
        return self._base.config()

    def load(self, config: PretrainedConfig, *, dtype: torch.dtype) -> PreTrainedModel:
        """Return the base model with the adapter merged into its weights, in float32 before they become `dtype`.

        Raises:
            FileNotFoundError, ValueError: as for the base model, and for an adapter of another base model.
        """
        model = self._base.load(config, dtype=torch.float32)
        rows = len(self.tokenizer(TextTokenizer))
        merged = merge_adapter(model, self.folder, title=self.name, base=self._base.name, rows=rows)
        if (self.folder / GENERATION).is_file():
            with naming(str(self.folder / GENERATION)):
                merged.generation_config = GenerationConfig.from_pretrained(self.folder)
        cast(torch.nn.Module, merged).to(dtype=dtype)
        return merged

    def tokenizer(self, cls: type[AnyTokenizer]) -> AnyTokenizer:
        """Return the adapter's own tokenizer, or that of the base model."""
        if any((self.folder / name).is_file() for name in VOCABULARIES):
            return cls.from_pretrained(self.folder)
        return self._base.tokenizer(cls)
