"""The kinds of sources of a language model: folders and Hub names, GGUF files, and adapters over another source."""

import os

from convmodel.models.adapter_source import AdapterSource, is_adapter
from convmodel.models.folder import checked_source
from convmodel.models.gguf_source import GgufSource, is_gguf
from convmodel.models.lora import ADAPTER
from convmodel.models.model_source import ModelSource

Name = str | os.PathLike[str]


def open_source(name_or_path: Name, *, base: Name | None = None) -> ModelSource:
    """Return a source that is checked.

    Args:
        base: the model under an adapter; by default that of the adapter's configuration.

    Raises:
        FileNotFoundError, ValueError: see `folder.checked_source` and `gguf_source.check_gguf`; and for a base that is
            missing, or given to a whole model.
    """
    name = os.fspath(name_or_path)
    if is_adapter(name):
        source = AdapterSource.read(checked_source(name, needs=ADAPTER))
        under = source.base_name if base is None else os.fspath(base)
        with source.naming_base(under):
            return source.over(open_source(under))
    if base is not None:
        raise ValueError(f"{name}: holds no adapter ({ADAPTER}), so it needs no base; leave --base (base=...) out")
    if is_gguf(name):
        return GgufSource.open(name)
    return ModelSource(checked_source(name))
