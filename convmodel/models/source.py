"""Opening of the source of a language model: a folder or Hub name, a GGUF file, or an adapter over another source."""

import os

from convmodel.models.adapter_source import AdapterSource, is_adapter
from convmodel.models.folder import checked_source
from convmodel.models.gguf_source import GgufSource, is_gguf
from convmodel.models.lora import ADAPTER
from convmodel.models.model_source import ModelSource

Name = str | os.PathLike[str]


def open_source(name_or_path: Name, *, base: Name | None = None) -> ModelSource:
    """Check a source, and return it.

    Args:
        name_or_path: a folder or Hub name of a model or of an adapter, or a GGUF file.
        base: the base model of an adapter; by default the one that the adapter's configuration names.

    Raises:
        FileNotFoundError, ValueError: see `folder.checked_source` and `gguf_source.check_gguf`; also when an adapter's
            base model is missing, or `base` is given for a complete model.
    """
    name = os.fspath(name_or_path)
    if is_adapter(name):
        source = AdapterSource.read(checked_source(name, needs=ADAPTER))
        under = source.base_name if base is None else os.fspath(base)
        with source.naming_base(under):
            if os.path.realpath(under) == os.path.realpath(name):
                raise ValueError(f"{under} is the adapter itself")
            return source.over(open_source(under))
    if base is not None:
        raise ValueError(f"{name}: holds no adapter ({ADAPTER}), so it needs no base; leave --base (base=...) out")
    if is_gguf(name):
        return GgufSource.open(name)
    return ModelSource(checked_source(name))
