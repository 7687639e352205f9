"""The kind of a source is told by its files and its name."""

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from convmodel.models.adapter_source import AdapterSource
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.gguf_source import GgufSource
from convmodel.models.model_source import ModelSource
from convmodel.models.source import open_source
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.models.gguf_files import tiny_llama, write_gguf
from tests.weights import real_weights


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


@pytest.mark.weights
@pytest.mark.slow
def test_a_real_folder_replies_as_generate_does_and_writes_documents() -> None:
    folder = real_weights("smollm2/config.json").parent
    question = "What is the capital of France?"
    model = ConversationModel.from_pretrained(folder, "cpu", "float32")
    [reply] = model.generate([question], do_sample=False, max_new_tokens=8).responses
    tokenizer: Any = model.hf_tokenizer
    messages = [{"role": "user", "content": question}]
    given = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    network: Any = model.hf_model
    written = network.generate(**given, do_sample=False, max_new_tokens=8)[0, given["input_ids"].shape[1] :]
    assert "Paris" in reply and reply == tokenizer.decode(written, skip_special_tokens=True)
    documents = DocumentModel(network, DocumentTokenizer(tokenizer))
    [text] = documents.generate("The capital of France is", do_sample=False, max_new_tokens=4).texts
    assert "Paris" in text
