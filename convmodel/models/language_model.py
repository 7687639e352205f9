"""A Hub name or folder in, a GPT-2 with its tokenizer out, and back: what models that write have in common."""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, cast

import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from convmodel.generation.int8 import is_int8, to_int8
from convmodel.generation.options import (
    BAD_WORDS,
    NEUTRAL,
    DecodingConfig,
    WindowBudget,
    check_values,
    complete_config,
    decoding,
)
from convmodel.models.card import CardText, ModelCard
from convmodel.models.devices import best_device, resolve_dtype
from convmodel.models.folder import checked_source, load_config, quiet_progress, replaced_folder
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer


class LanguageModel(ABC, Generic[AnyTokenizer]):
    """A GPT-2 and a tokenizer of its own kind.

    Args:
        hf_model: the GPT-2. Its embeddings grow when the tokenizer has more tokens than they have rows.
        tokenizer: makes the ids that it reads.
    """

    tokenizer_class: ClassVar[type[TextTokenizer]]
    described: ClassVar[CardText]
    """What its model card says of all models of its kind."""

    def __init__(self, hf_model: GPT2LMHeadModel, tokenizer: AnyTokenizer) -> None:
        self._hf_model, self._tokenizer = hf_model, tokenizer
        if len(tokenizer) > len(hf_model.transformer.wte.weight):
            hf_model.resize_token_embeddings(len(tokenizer))
        sep = tokenizer.sep_token_id
        hf_model.config.bos_token_id = hf_model.config.eos_token_id = sep
        hf_model.config.pad_token_id = (
            None  # padding is told by masks and labels; an id would be mistaken for turns' ends
        )
        self.generation_config = complete_config(hf_model.generation_config, sep, self._room)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """Loads a GPT-2 and its tokenizer by Hub name or folder. Only safetensors are read; pickles are refused.

        Args:
            name_or_path: "gpt2", another Hub name, or a folder.
            device: "cuda", "cpu", ...; an accelerator when there is one, when left out.
            dtype: "auto" is float32 on a CPU, and bfloat16 on a GPU that is fast at it; or a torch type, or its name;
                or "int8", on a CPU: several times as fast as float32, for less than 0.5 % of perplexity.

        Raises:
            FileNotFoundError: when there is neither such a folder nor, as far as can be reached, such a Hub name.
            ValueError: when it is no GPT-2, or one of another kind, or has no safetensors.
        """
        source = checked_source(name_or_path)
        config, more = load_config(source), cls.read_extra_config(source)
        place = torch.device(device) if device is not None else best_device()
        number_type = torch.float32 if dtype == "int8" else resolve_dtype(dtype, place, "replying")
        with quiet_progress():
            model = GPT2LMHeadModel.from_pretrained(source, config=config, dtype=number_type, use_safetensors=True)
        cast(torch.nn.Module, model).to(place)
        tokenizer = cls.tokenizer_class.from_pretrained(source)
        found = cls(model.eval(), cast(AnyTokenizer, tokenizer), **more)
        if dtype == "int8":
            to_int8(model)
        return found

    @classmethod
    @abstractmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """What a folder or Hub name says beside transformers' files, as options of the class.

        Raises:
            ValueError: when it holds another kind of model.
        """

    def _write_extra_config(self, folder: Path) -> None:
        """Writes it into a folder."""

    @property
    @abstractmethod
    def _room(self) -> WindowBudget:
        """For what is read and what is written."""

    @property
    def hf_model(self) -> GPT2LMHeadModel:
        """The wrapped GPT-2."""
        return self._hf_model

    @property
    def tokenizer(self) -> AnyTokenizer:
        """Makes the ids that the model reads."""
        return self._tokenizer

    @property
    def hf_tokenizer(self) -> PreTrainedTokenizerBase:
        """The transformers tokenizer inside `tokenizer`."""
        return self._tokenizer.hf_tokenizer

    @property
    def n_positions(self) -> int:
        """The model's window in tokens: what is read and what is written together."""
        return int(self._hf_model.config.n_positions)

    def decoding(self, **options: Any) -> DecodingConfig:
        """How texts are written with some options, and for the rest with `generation_config`.

        Raises:
            TypeError, ValueError: for options that mean nothing.
        """
        words = options.pop(BAD_WORDS, None)
        if words is not None:
            check_values({BAD_WORDS: words})
            ids = options.get("bad_words_ids") or self.generation_config.bad_words_ids or []
            options["bad_words_ids"] = [*ids, *self._ids_of([words] if isinstance(words, str) else words)]
        sep = self._tokenizer.sep_token_id
        return decoding(self.generation_config, options, sep_token_id=sep, room=self._room)

    def _ids_of(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of words as they stand at the beginning of a text, and as they stand within one."""
        ways = [way for word in words for way in (word, f" {word.lstrip()}")]
        return [list(ids) for ids in dict.fromkeys(map(tuple, self._tokenizer.encode_many(ways)))]

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        card: ModelCard | None = None,
        state_dict: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Saves an ordinary transformers folder: safetensors, configs, tokenizer and model card.

        The folder is replaced in one step: whoever reads it, or kills this process, finds the old or the new one.

        Args:
            folder: where; an older model there is replaced.
            card: what is known of the model, for its README.md.
            state_dict: the weights, where they were gathered from several processes; the model's own when left out.

        Raises:
            FileExistsError: when the folder holds files that are no part of a model.
            ValueError: for a model in int8, which has lost what is to be saved.
        """
        if is_int8(self._hf_model):
            raise ValueError('a model in int8 cannot be saved; load it with dtype="float32" and save that')
        with replaced_folder(folder) as fresh:
            with quiet_progress():
                self._hf_model.save_pretrained(fresh, state_dict=state_dict)
            config = copy.deepcopy(self.generation_config)
            if not config.do_sample:  # transformers saves no sampling options where nothing is sampled
                config.update(**NEUTRAL)
            config.save_pretrained(fresh)
            self._tokenizer.save_pretrained(fresh)
            self._write_extra_config(fresh)
            text = (card or ModelCard()).markdown(
                self.described,
                sep_token=self._tokenizer.sep_token,
                parameters=self._hf_model.num_parameters(),
                n_positions=self.n_positions,
                vocab_size=len(self._tokenizer),
            )
            (fresh / "README.md").write_text(text, encoding="utf-8")


@dataclass
class FromScratch:
    """A new GPT-2, with a byte-level BPE vocabulary learned from the training file. Names as in GPT2Config.

    Args:
        n_layer: Blocks.
        n_head: Attention heads; they divide `n_embd`.
        n_embd: Width.
        n_positions: Tokens that the model can read at once, those that it writes included.
        vocab_size: Tokens of the vocabulary at most.
        resid_pdrop: Dropout after each block's two parts.
        embd_pdrop: Dropout of the embeddings.
        attn_pdrop: Dropout of the attention weights. On a CPU it costs about a fifth of the speed.
    """

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    n_positions: int = 512
    vocab_size: int = 4096
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1


DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
