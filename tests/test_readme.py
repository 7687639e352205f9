"""The README: its commands with a shorter budget, its Python code unchanged, and its links."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

pytest.importorskip("pytorch_lightning")

from convmodel.__main__ import main as convmodel
from convmodel.trainer import main as trainer
from tests.conftest import MakeModel, MakeSelector
from tests.vocabularies import end_of_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BRIEF = [
    "--trainer.max_steps=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--data.cache_dir=cache",
]
SHORT = [
    *BRIEF,
    "--model.from_scratch.n_embd=32",
    "--model.from_scratch.n_layer=1",
    "--model.from_scratch.vocab_size=300",
]


LINES = 400
"""Maximum length of the example files."""

SELECTOR = [*BRIEF, "--trainer.limit_val_batches=2"]
SMALL = ["--model.new_encoder.width=32", "--model.new_encoder.vocab_size=300"]
"""Options of a selector from scratch."""


def blocks(language: str, page: str = README) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a checkout, `gpt2`, and the user's files that the README mentions."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for path in (tmp_path / "examples" / "data").glob("*.jsonl"):
        shortened = path.read_text(encoding="utf-8").splitlines()[:LINES]
        path.write_text("\n".join(shortened) + "\n", encoding="utf-8")
    lines = (ROOT / "examples" / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(lines[:100]), encoding="utf-8")
    (tmp_path / "valid.jsonl").write_text("\n".join(lines[100:120]), encoding="utf-8")
    chat = "[24.12.23, 18:03:11] Bo: Hello\n[24.12.23, 18:03:40] Ida: Hi!\n"
    (tmp_path / "WhatsApp.txt").write_text(chat, encoding="utf-8")
    base = end_of_text()
    sizes: dict[str, Any] = {
        "n_positions": 256,
        "n_layer": 1,
        "n_head": 2,
        "n_embd": 8,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    GPT2LMHeadModel(GPT2Config(vocab_size=len(base), **sizes)).save_pretrained(tmp_path / "gpt2")
    base.save_pretrained(tmp_path / "gpt2")
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*PossibleUserWarning.*")
def test_all_code_in_the_readme_runs_in_order(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as servers:
        for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
            if language == "python":
                exec(compile(block.replace("127.0.0.1:8000", address), "README.md", "exec"), {})
                continue
            for line in block.splitlines():
                command = line.split("#")[0].split("&&")[-1].strip()  # .ci/run tests the commands before &&
                stdin, _, command = command.rpartition("|")
                if " serve " in command:
                    servers.enter_context(serving(shlex.split(command), address))
                    continue
                with monkeypatch.context() as patch:
                    patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.removeprefix("echo ").encode())))
                    run(shlex.split(command))
    printed = capsys.readouterr().out
    assert "perplexity per token" in printed
    assert json.loads((checkout / "mine.jsonl").read_text(encoding="utf-8"))["turns"] == ["Hello", "Hi!"]
    assert (checkout / "model" / "model.safetensors").is_file()


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], address: str) -> Iterator[None]:
    """Run the server of a README command for the duration of the block."""
    assert command[:4] == ["python", "-m", "convmodel", "serve"]
    port = ["--port", address.rpartition(":")[2]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, *command[1:], *port], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    with server:
        try:
            assert server.stdout is not None and address in server.stdout.readline().decode()
            yield
        finally:
            server.terminate()
    assert server.returncode == 0


def run(command: list[str]) -> None:
    """Run a command of the README."""
    if command == ["pytest"]:
        return
    assert command[:2] == ["python", "-m"]
    name, *arguments = command[2:]
    if name == "convmodel" and arguments[0] == "train":
        trainer([*arguments[1:], *SHORT])
        return
    if name == "convmodel":
        short_options = ["--limit", "2", "--resamples", "10"] if arguments[0] == "evaluate" else []
        if short_options and "bi-encoder" not in arguments:
            short_options += ["--set", "max_new_tokens=4"]
        assert convmodel([*arguments, *short_options]) == 0
        return
    assert name == "convmodel.trainer"
    if "examples/bi-encoder.yaml" in arguments:
        trainer([*arguments, *SELECTOR, *SMALL])
        return
    short = SHORT[1:] if arguments[0] == "test" else SHORT
    trainer([*arguments, *short])


def test_the_python_code_of_the_generation_page_runs_in_order(
    checkout: Path, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("model", "backward"):
        make_model(ending=3.0).save_pretrained(checkout / name)
    names: dict[str, Any] = {}
    for block in blocks("python", (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")):
        exec(compile(block, "docs/generation.md", "exec"), names)
    assert len(names["context"]) == 4 and "of 64 tokens" in capsys.readouterr().out


def test_the_python_code_of_the_hybrid_page_runs_in_order(
    checkout: Path, make_model: MakeModel, make_selector: MakeSelector, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(ending=3.0).save_pretrained(checkout / "model")
    make_selector().save_pretrained(checkout / "selector")
    for block in blocks("python", (ROOT / "docs" / "hybrid.md").read_text(encoding="utf-8")):
        exec(compile(block, "docs/hybrid.md", "exec"), {})
    out = capsys.readouterr().out
    assert "chosen 1 {'chosen': " in out and "written None {'written': " in out and out.endswith("bi-encoder\n")


@pytest.mark.filterwarnings("ignore:.*PossibleUserWarning.*")
def test_the_selector_examples_can_be_trained_evaluated_and_used(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"convert": ["--model.sizes.width=16", "--model.sizes.vocab_size=300"], "cross-encoder": []}
    for name in ("bi-encoder", "poly-encoder", "cross-encoder", "convert"):
        trainer(["--config", f"examples/{name}.yaml", *SELECTOR, *small.get(name, SMALL)])
        assert (
            convmodel(["evaluate", "--model", name, "--data", "valid.jsonl", "--limit", "2", "--resamples", "10"]) == 0
        )
    page = (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in blocks("python", page):
        exec(compile(block, "docs/selection.md", "exec"), names)
    assert names["scores"].shape == (1, 2) and len(names["best"].ids[0]) == 2
    capsys.readouterr()
    for line in "\n".join(blocks("bash", page)).replace("\\\n", "").splitlines():
        command = shlex.split(line.split("#")[0].replace(" > poly.yaml", ""))
        if command[2:4] == ["convmodel", "mine"]:
            assert convmodel(command[3:]) == 0
        elif "hard.jsonl" in command:
            trainer([*command[3:], *SELECTOR])
        elif "--print_config" in command:
            with pytest.raises(SystemExit):
                trainer(command[3:])
    assert "num_codes: 64" in capsys.readouterr().out and (checkout / "better" / "selector.json").is_file()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
def test_every_link_to_a_file_is_valid(page: Path | str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_the_picture_of_the_layout_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from layout_picture import picture

    assert (ROOT / "docs" / "layout.svg").read_text(encoding="utf-8") == picture()


def test_the_picture_of_the_architecture_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from architecture_picture import picture

    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == picture()


def test_the_readme_is_at_most_200_lines() -> None:
    assert README.count("\n") <= 200


def test_the_first_python_block_is_short(checkout: Path) -> None:
    assert len(blocks("python")[0].strip().splitlines()) <= 6
