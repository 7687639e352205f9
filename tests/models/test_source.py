"""The kind of a source is told by its files and its name."""

from pathlib import Path

import pytest
from transformers import LlamaConfig

from convmodel.models.adapter_source import AdapterSource
from convmodel.models.gguf_source import GgufSource
from convmodel.models.model_source import ModelSource
from convmodel.models.source import open_source
from tests.models.gguf_files import tiny_llama, write_gguf


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_each_kind_is_opened_as_itself(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("peft")
    from peft import LoraConfig, get_peft_model

    tiny_llama().save_pretrained(tmp_path / "folder")
    write_gguf(tmp_path / "tiny.GGUF", tiny_llama())
    adapter = tmp_path / "adapter"
    get_peft_model(tiny_llama(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(adapter))
    assert type(open_source(tmp_path / "folder")) is ModelSource
    assert type(open_source(tmp_path / "tiny.GGUF")) is GgufSource
    over = open_source(adapter, base=tmp_path / "tiny.GGUF")
    assert isinstance(over, AdapterSource)
    assert isinstance(over.base, GgufSource)
    assert isinstance(over.config(), LlamaConfig)
    with pytest.raises(FileNotFoundError, match=r"adapter: the base model .* names no base model.* --base "):
        open_source(adapter)
    with pytest.raises(ValueError, match="so it needs no base"):
        open_source(tmp_path / "tiny.GGUF", base=adapter)
