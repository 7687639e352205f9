"""The base class of generative models: a language model with its tokenizer, decoding options, loading and saving."""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from convmodel.generation.causal_lm import context_window, embedding_rows
from convmodel.generation.int8 import is_int8, to_int8
from convmodel.generation.option_checks import BAD_WORDS, check_values
from convmodel.generation.options import (
    NEUTRAL,
    DecodingConfig,
    WindowBudget,
    build_decoding_config,
    complete_config,
)
from convmodel.models.card import CardText, ModelCard, architecture_name
from convmodel.models.devices import best_device, dtype_name, resolve_dtype
from convmodel.models.folder import CONVERSATION_FILE, DOCUMENT_FILE, naming, quiet_progress, replaced_folder
from convmodel.models.generation_file import GENERATION, check_token_ids, read_own_options
from convmodel.models.loading import check_vocabulary
from convmodel.models.lora import Adapter
from convmodel.models.model_source import ModelSource
from convmodel.models.source import open_source
from convmodel.models.trainable import Trainable
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer


class LanguageModel(Trainable, ABC, Generic[AnyTokenizer]):
    """A language model with its tokenizer.

    If the tokenizer has more tokens than the model has embeddings, new embeddings are added.

    Args:
        hf_model: a model of transformers that generates text.
        tokenizer: its tokenizer.
    """

    tokenizer_class: ClassVar[type[TextTokenizer]]
    """The class of the tokenizer of a loaded model."""

    card_text: CardText
    """The parts of the model card that are the same for all models of the class."""

    def __init__(self, hf_model: PreTrainedModel, tokenizer: AnyTokenizer) -> None:
        self.hf_model = hf_model
        self.tokenizer: AnyTokenizer = tokenizer
        if len(tokenizer) > embedding_rows(hf_model):
            hf_model.resize_token_embeddings(len(tokenizer))
        vars(hf_model.config).update(tokenizer.special_token_ids)
        ends = tokenizer.end_token_ids
        self.generation_config = complete_config(hf_model.generation_config, ends, self._window_budget)

    def __repr__(self) -> str:
        network = self.hf_model
        parts = [
            architecture_name(network.config.model_type),
            f"{network.num_parameters():,} parameters",
            f"window {self.n_positions:,} tokens",
            *self._repr_parts,
            f"{'int8' if is_int8(network) else dtype_name(network.dtype)} on {network.device}",
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def _repr_parts(self) -> list[str]:
        """Parts of the representation that differ between the classes."""
        return []

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        *,
        base: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Load a model and its tokenizer. Only safetensors and GGUF files are read; pickles are refused.

        Args:
            name_or_path: "gpt2", another Hub name, a folder of a model or of a LoRA adapter, or a GGUF file.
            device: "cuda", "cpu", ...; by default an accelerator if there is one.
            dtype: a torch type or its name; "int8", on a CPU, which is several times as fast as float32 and increases
                perplexity by less than 0.5 %; or "auto": bfloat16 on a GPU on which it is fast, otherwise float32.
            base: the base model of an adapter, which is merged into it; by default the one that the adapter's
                configuration names.

        Raises:
            FileNotFoundError: when there is no such folder or Hub name, or the Hub cannot be reached.
            ValueError: when the folder does not contain a model of this kind, or one of its files is damaged, is
                missing or has values that are not allowed.
        """
        source = open_source(name_or_path, base=base)
        config = source.config()
        cls.check_config(source.name, config)
        if dtype == "int8" and config.is_encoder_decoder:
            raise ValueError(
                f"dtype='int8' is for models without an encoder, and {source.name} holds a {config.model_type!r}; use "
                "float32 or bfloat16 (--dtype)"
            )
        cls.read_extra_config(source.place_of(DOCUMENT_FILE, CONVERSATION_FILE))  # errors before weights are read
        read_own_options(source.place_of(GENERATION))
        target = torch.device(device) if device is not None else best_device()
        number_type = torch.float32 if dtype == "int8" else resolve_dtype(dtype, target, "replying")
        tokenizer = source.tokenizer(cls.tokenizer_class)
        hf_model = source.load(config, dtype=number_type, rows=len(tokenizer))
        cast(torch.nn.Module, hf_model).to(target)
        model = cls.from_source(source, hf_model, tokenizer)
        if dtype == "int8":
            to_int8(hf_model)
        return model

    @classmethod
    def from_source(
        cls, source: ModelSource, hf_model: PreTrainedModel, tokenizer: TextTokenizer | None = None
    ) -> Self:
        """Return a model with loaded weights, and the tokenizer, layout and decoding options of a source.

        Args:
            source: the source.
            hf_model: the loaded weights.
            tokenizer: the tokenizer; by default that of the source.

        Raises:
            ValueError: see `from_pretrained`.
        """
        options = cls.read_extra_config(source.place_of(DOCUMENT_FILE, CONVERSATION_FILE))
        own_options = read_own_options(source.place_of(GENERATION))
        tokenizer = tokenizer or source.tokenizer(cls.tokenizer_class)
        check_vocabulary(source.name, tokenizer.hf_tokenizer, embedding_rows(hf_model))
        check_token_ids(source.name, hf_model.generation_config, embedding_rows(hf_model))
        vars(hf_model.generation_config).update(own_options)
        with naming(source.name):
            model = cls(hf_model.eval(), cast(AnyTokenizer, tokenizer), **options)
        with naming(f"{source.name}: {GENERATION}"):
            _ = model.decoding().uses_engine  # raises ValueError for default options that exclude each other
        return model

    @classmethod
    def check_config(cls, name: str, config: PretrainedConfig) -> None:
        """Raise ValueError for an architecture that this class does not support; `name` names the model in errors."""

    @classmethod
    @abstractmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """Read the arguments of the class that are saved in files of this package.

        Raises:
            ValueError: for a model of another kind, or a damaged file.
        """

    def _write_extra_config(self, folder: Path) -> None:
        """Write the files that `read_extra_config` reads."""

    @property
    @abstractmethod
    def _window_budget(self) -> WindowBudget:
        """The division of the window between input and output."""

    @property
    def hf_tokenizer(self) -> PreTrainedTokenizerBase:
        """The transformers tokenizer inside `tokenizer`."""
        return self.tokenizer.hf_tokenizer

    @property
    def n_positions(self) -> int:
        """The size of the model's window in tokens, for input and output together."""
        return context_window(self.hf_model.config)

    def clamp_new_tokens(self, wanted: int) -> int:
        """Return `wanted`, a number of new tokens, limited to half of the window if the window does not allow it."""
        budget = self._window_budget
        if wanted <= budget.max_new_tokens:
            return wanted
        return max(1, min(budget.max_new_tokens, budget.window // 2))

    def decoding(self, **options: Any) -> DecodingConfig:
        """Return the decoding configuration for the given options; other options come from `generation_config`.

        Raises:
            TypeError, ValueError: for unknown options or invalid values.
        """
        words = options.pop(BAD_WORDS, None)
        if words is not None:
            check_values({BAD_WORDS: words})
            ids = options.get("bad_words_ids") or self.generation_config.bad_words_ids or []
            options["bad_words_ids"] = [*ids, *self._ids_of([words] if isinstance(words, str) else words)]
        ends = self.tokenizer.end_token_ids
        return build_decoding_config(self.generation_config, options, end_token_ids=ends, budget=self._window_budget)

    def _ids_of(self, words: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each word, at the beginning of a text and after a space."""
        spellings = [spelling for word in words for spelling in (word, f" {word.lstrip()}")]
        return [list(ids) for ids in dict.fromkeys(map(tuple, self.tokenizer.encode_many(spellings)))]

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        card: ModelCard | None = None,
        state_dict: dict[str, torch.Tensor] | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        """Save a transformers folder: safetensors, configurations, tokenizer and model card.

        The folder is replaced atomically: even if the process is killed, it holds the old or the new model, never a
        mix.

        Args:
            folder: the target folder; an existing model is replaced.
            card: facts about the model for its README.md.
            state_dict: the weights, if they were gathered from several processes; by default the model's own.
            adapter: the adapters inside the model; if given, only the adapters are saved, not the model's weights.

        Raises:
            FileExistsError: when the folder contains files that do not belong to a model.
            ValueError: for a model in int8, whose original weights are lost.
        """
        if is_int8(self.hf_model):
            raise ValueError('a model in int8 cannot be saved; load it with dtype="float32" and save that')
        with replaced_folder(folder) as fresh:
            with quiet_progress():
                if adapter is None:
                    self.hf_model.save_pretrained(fresh, state_dict=state_dict)
                else:
                    adapter.save(fresh)
            config = copy.deepcopy(self.generation_config)
            if not config.do_sample:  # transformers does not save sampling options with do_sample=False
                config.update(**NEUTRAL)
            config.save_pretrained(fresh)
            self.tokenizer.save_pretrained(fresh)
            self._write_extra_config(fresh)
            text = (card or ModelCard()).markdown(
                self.card_text,
                sep_token=self.tokenizer.sep_token,
                parameters=self.hf_model.num_parameters(),
                architecture=self.hf_model.config.model_type,
                n_positions=self.n_positions,
                vocab_size=len(self.tokenizer),
            )
            (fresh / "README.md").write_text(text, encoding="utf-8")


AnyLanguageModel = TypeVar("AnyLanguageModel", bound=LanguageModel[Any])

Value = TypeVar("Value")


def one_per_row(name: str, values: Sequence[Value] | None, rows: str, count: int, default: Value) -> Sequence[Value]:
    """Return one value for each of `count` rows: the given values, or the default if `values` is None.

    Args:
        name: what the values are called in errors.
        values: one value for each row, or None.
        rows: what the rows are called in errors.
        count: the number of rows.
        default: the value for every row if none are given.

    Raises:
        ValueError: for another number of values.
    """
    if values is not None and len(values) != count:
        raise ValueError(f"{len(values)} {name} for {count} {rows}; give one each, or none")
    return [default] * count if values is None else values
