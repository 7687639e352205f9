"""Commands over a GGUF file, and over an adapter whose base is a GGUF file."""

import json
from pathlib import Path

import pytest

from convmodel.__main__ import main
from tests.models.gguf_files import tiny_llama, write_gguf

pytest.importorskip("gguf")
peft = pytest.importorskip("peft")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("has_adapter", [False, True], ids=["file", "adapter"])
def test_commands_take_a_file_and_an_adapter_over_it(tmp_path: Path, has_adapter: bool) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, tiny_llama())
    model = ["--model", str(file)]
    if has_adapter:
        adapted = peft.get_peft_model(tiny_llama(), peft.LoraConfig(r=2, target_modules=["q_proj"]))
        adapted.save_pretrained(str(tmp_path / "adapter"))
        model = ["--model", str(tmp_path / "adapter"), "--base", str(file)]
    data = tmp_path / "data.jsonl"
    data.write_text('["hello", "hi"]\n["who is it", "me"]\n', encoding="utf-8")
    output = tmp_path / "replies.jsonl"
    short = ["--set", "max_new_tokens=4", "--device", "cpu", "--dtype", "float32"]
    assert not main(["generate", *model, "--input", str(data), "--output", str(output), "--last", *short])
    assert [json.loads(line)["gold"] for line in output.read_text().splitlines()] == ["hi", "me"]
    report = [
        "--output",
        str(tmp_path / "report"),
        "--set",
        "max_new_tokens=4",
        "--device",
        "cpu",
        "--resamples",
        "20",
    ]
    assert not main(["evaluate", *model, "--data", str(data), *report])
    assert not main(["inspect", str(data), *model])
