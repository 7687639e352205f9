"""The source of a language model, from which its configuration, weights and tokenizer are read."""

from dataclasses import dataclass

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)

from convmodel.models.loading import load_weights, read_model_config
from convmodel.tokens.text_tokenizer import AnyTokenizer


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The folder or Hub name of a language model; the base class of other kinds of sources.

    Args:
        name: the folder, file or Hub name that the user gave; it must be checked already, see `folder.checked_source`.
    """

    name: str

    def place_of(self, *files: str) -> str:
        """Return the folder or Hub name in which to look for some of the model's files other than weights."""
        return self.name

    def config(self) -> PretrainedConfig:
        """Return the configuration of the model.

        Raises:
            FileNotFoundError, ValueError: see `loading.read_model_config`; also for a model that cannot generate text.
        """
        config = self._read_config()
        has_encoder = config.is_encoder_decoder
        if has_encoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING and not config.sub_configs:
            return config
        # Transformers can also load encoders such as BERT as causal models, but they were not trained as such.
        is_encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
        if has_encoder or is_encoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise ValueError(
                f"{self.name}: holds a {config.model_type!r} model, which does not generate text; give a causal "
                "language model, such as a gpt2, llama, qwen3 or gemma3, or an encoder-decoder, such as a blenderbot "
                "or t5"
            )
        return config

    def _read_config(self) -> PretrainedConfig:
        return read_model_config(self.name)

    def load(self, config: PretrainedConfig, *, dtype: torch.dtype, rows: int = 0) -> PreTrainedModel:
        """Load the model; for errors see `loading.load_weights`.

        Args:
            config: the result of `config`.
            dtype: the type of the weights.
            rows: the number of tokens of the tokenizer; only used for adapters that were trained with added tokens.
        """
        auto_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        return load_weights(auto_class, self.name, config, dtype=dtype)

    def tokenizer(self, cls: type[AnyTokenizer]) -> AnyTokenizer:
        """Return the tokenizer of the model; for errors see `tokenizer_files.load_tokenizer`."""
        return cls.from_pretrained(self.name)
