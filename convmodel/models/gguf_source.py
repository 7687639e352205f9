"""GGUF files, the format of llama.cpp: a model, its tokenizer and its chat template in one file."""

import contextlib
import importlib.util
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GgufConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers import __version__ as transformers_version

from convmodel.data.json_file import COPY_AGAIN, refuse_lfs_pointer
from convmodel.errors import install_command
from convmodel.models.folder import DAMAGE, summary
from convmodel.models.loading import load_weights
from convmodel.models.model_source import ModelSource
from convmodel.tokens.text_tokenizer import AnyTokenizer
from convmodel.tokens.tokenizer_files import load_tokenizer

SUFFIX = ".gguf"
MAGIC = b"GGUF"
TOKENS = "tokenizer.ggml.tokens"
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
"""Keys of the ids of tokens that end a reply."""


def is_gguf(name: str) -> bool:
    """Return whether a name ends like that of a GGUF file. The file need not exist."""
    path = Path(name)
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def check_gguf(file: Path) -> None:
    """Check that a GGUF file is complete, and that the libraries that read it are installed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is a pointer of Git LFS, has another format, is cut off or damaged, or a library is
            missing.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; give the path of a GGUF file, or the folder of a saved model")
    refuse_lfs_pointer(file)
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"{file}: reading a GGUF file needs {' and '.join(missing)}: {install_command('gguf')}")
    with open(file, "rb") as opened:
        magic = opened.read(len(MAGIC))
    if magic != MAGIC:
        raise ValueError(f"{file}: is not a GGUF file: it begins with {magic!r}, not {MAGIC!r}; {COPY_AGAIN}")
    end = _end_of_tensors(file)
    if end > (size := file.stat().st_size):
        raise ValueError(f"{file}: is cut off: it has {size:,} bytes of {end:,}; {COPY_AGAIN}")


def _end_of_tensors(file: Path) -> int:
    """Return the size in bytes that a complete file has according to its header."""
    from transformers.integrations.gguf.reader import GgufHeader

    with _damaged(file):
        header = GgufHeader.from_file(os.fspath(file))
        return max((header.data_start + tensor.offset + tensor.nbytes for tensor in header.tensors), default=0)


@contextlib.contextmanager
def _damaged(file: str | Path) -> Iterator[None]:
    """Turn errors inside the block that are due to the contents of a file into a ValueError with a remedy."""
    try:
        yield
    except (struct.error, IndexError, OverflowError, MemoryError, NotImplementedError, OSError, *DAMAGE) as error:
        raise ValueError(
            f"{file}: is cut off, damaged, or of a kind that transformers {transformers_version} does not read "
            f"({summary(error).removeprefix(f'{file} ')}); {COPY_AGAIN}, or give the model's folder with safetensors"
        ) from error


@dataclass(frozen=True, slots=True)
class GgufSource(ModelSource):
    """A GGUF file as the source of a model. Its weights are dequantized.

    Args:
        name: the path of the file.
        metadata: the values in the file's header; for a list of texts, only the number of texts.
    """

    metadata: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, name: str) -> "GgufSource":
        """Return the source of a file; for errors see `check_gguf`."""
        from transformers.integrations.gguf.reader import read_gguf_metadata

        check_gguf(Path(name))
        with _damaged(name):
            return cls(name, read_gguf_metadata(name)[0])

    def _read_config(self) -> PretrainedConfig:
        with _damaged(self.name), _alone(self.name) as folder:
            return cast(PretrainedConfig, AutoConfig.from_pretrained(folder, gguf_file=Path(self.name).name))

    def load(self, config: PretrainedConfig, *, dtype: torch.dtype, rows: int = 0) -> PreTrainedModel:
        """Return the model, whose decoding options have the file's end tokens.

        Raises:
            ValueError: for tensors that are missing or damaged.
        """
        weights: dict[str, Any] = {
            "gguf_file": Path(self.name).name,
            "quantization_config": GgufConfig(dequantize=True),
        }
        with _alone(self.name) as folder, contextlib.redirect_stderr(io.StringIO()):  # hides a progress bar
            model = load_weights(AutoModelForCausalLM, folder, config, dtype=dtype, title=self.name, **weights)
        if ends := self._end_token_ids():
            assert model.generation_config is not None
            model.generation_config.eos_token_id = ends
        model.config.name_or_path = self.name
        return model

    def tokenizer(self, cls: type[AnyTokenizer]) -> AnyTokenizer:
        """Return the tokenizer of the file, with its chat template.

        Raises:
            ValueError: when the file has no tokenizer, or it cannot be read.
        """
        try:
            with _alone(self.name) as folder:
                tokenizer = load_tokenizer(folder, gguf_file=Path(self.name).name)
            _remove_beyond(tokenizer, self.metadata[TOKENS])
        except (NotImplementedError, IndexError, OSError, *DAMAGE) as error:
            raise ValueError(
                f"{self.name}: its tokenizer cannot be read ({summary(error)}); give a GGUF file with a tokenizer, or "
                "the model's folder with safetensors"
            ) from error
        tokenizer.name_or_path = self.name
        return cls(tokenizer)

    def _end_token_ids(self) -> list[int]:
        return sorted({int(self.metadata[key]) for key in ENDS if key in self.metadata})


def _remove_beyond(tokenizer: PreTrainedTokenizerBase, count: int) -> None:
    """Remove added tokens with ids from `count` on: transformers adds <|endoftext|> to BPE vocabularies without it."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    own = [token for token in spec["added_tokens"] if token["id"] < count]
    if len(own) < len(spec["added_tokens"]):
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(spec | {"added_tokens": own}))


@contextlib.contextmanager
def _alone(name: str) -> Iterator[str]:
    """Yield a folder that contains only a link to the file, because transformers reads other files of a folder too."""
    file = Path(name).resolve()
    with tempfile.TemporaryDirectory() as folder:
        try:
            (Path(folder) / Path(name).name).symlink_to(file)
        except OSError:  # links are not allowed on this system
            yield os.fspath(file.parent)
            return
        yield folder
