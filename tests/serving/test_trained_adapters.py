"""Two adapters that the trainer trained on different files, served over one base in one process."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")
pytest.importorskip("pytorch_lightning")

import httpx

from convmodel.models.conversation_model import ConversationModel
from convmodel.responders.loading import open_responder
from convmodel.responders.writer import Writer
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.trainer import main as trainer
from tests.models.adapters import save_base
from tests.serving.clients import served

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # peft uses what transformers will remove

REPLIES = {"formal": "Good day.", "casual": "Hey you"}
PROMPT = "How are you?"
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 16}


def train_adapter(folder: Path, base: Path, reply: str) -> Path:
    """Train an adapter on conversations that end with one reply, and return its folder."""
    data = folder.with_suffix(".jsonl")
    lines = (json.dumps({"turns": [text, reply]}) for text in [PROMPT, "Hello", "Yes?", "Tell me more."] * 8)
    data.write_text("\n".join(lines), encoding="utf-8")
    options: dict[str, Any] = {
        "model.pretrained_model_name_or_path": base,
        "model.lora.r": 16,
        "model.lora.alpha": 32,
        "model.merge_lora": "false",
        "model.learning_rate": 0.02,
        "model.warmup_steps": 2,
        "data.train_file": data,
        "data.cache_dir": folder.with_suffix(".cache"),
        "data.tokens_per_batch": 128,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.default_root_dir": folder.with_suffix(".run"),
        "trainer.max_steps": 150,
        "trainer.max_epochs": 100,
        "trainer.enable_progress_bar": "false",
        "trainer.logger": "false",
        "export_dir": folder,
    }
    trainer(["fit", *(f"--{name}={value}" for name, value in options.items())])
    return folder


def reply_over_http(address: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "temperature": 0, "max_tokens": 16}
    answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_each_name_gets_the_reply_of_its_adapter_merged_alone(
    kind: str, tmp_path: Path, tokenizer: ConversationTokenizer
) -> None:
    base = save_base(tmp_path / "base", tokenizer, kind=kind, size=32)
    folders = {name: train_adapter(tmp_path / name, base, reply) for name, reply in REPLIES.items()}
    assert all((folder / "adapter_config.json").is_file() for folder in folders.values())
    merged = {name: ConversationModel.from_pretrained(folder) for name, folder in {"base": base, **folders}.items()}
    expected = {name: model.generate([PROMPT], **GREEDY).responses[0] for name, model in merged.items()}
    assert len(set(expected.values())) == 3
    assert all(expected[name].startswith(reply[:3]) for name, reply in REPLIES.items()), expected
    responder = open_responder(str(base), adapters={name: str(folder) for name, folder in folders.items()})
    assert isinstance(responder, Writer)
    service = Service(responder, adapters=responder.adapted, model="base", settings=Settings(grace=0.5))
    with served(service) as address:
        for _ in range(2):
            assert {name: reply_over_http(address, name) for name in expected} == expected
