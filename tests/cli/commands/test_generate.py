"""The command generate with a model, from the command line to the file."""

import json
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.candidates import distinct_candidates
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.cli.helpers import CHOSEN, VARIED, WRITTEN, Stdin
from tests.models.gguf_files import tiny_llama


def test_replies_to_a_file_are_repeatable(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.jsonl").write_text(
        '["Hello"]\n["How are you?", "I am fine.", "And you?"]\n["Do you like music?"]\n'
    )
    arguments = ["generate", "--model", folder, "--input", str(tmp_path / "in.jsonl"), "--preset", "careful"]
    for name, concurrency in (("one", "1"), ("many", "64")):
        assert main([*arguments, "--output", str(tmp_path / name), "--concurrency", concurrency]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    assert [len(line["turns"]) for line in lines] == [2, 4, 2] and "scores" in lines[0]
    assert "many: 3 lines; " in capsys.readouterr().out


@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_ctrl_c_ends_a_command_without_a_traceback(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convmodel.cli.options.open_responder", interrupted)
    monkeypatch.setattr(sys, "stdin", Stdin(""))
    assert main(command) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sources", "ranked_by", "count"),
    [
        (CHOSEN, {"chosen"}, "bi-encoder", 6),
        ([*CHOSEN, "--num-candidates", "3"], {"chosen"}, "bi-encoder", 3),
        ([*CHOSEN, "--reranker", "chooser"], {"chosen"}, "bi-encoder", 6),
        ([*WRITTEN, *CHOSEN, "--num-replies", "2"], {"written", "chosen"}, "bi-encoder", 8),
        (
            [*WRITTEN, *CHOSEN, "--num-candidates", "1", "--reranker", "likelihood"],
            {"written", "chosen"},
            "likelihood",
            5,
        ),
        ([*WRITTEN, "--selector", "chooser"], {"written"}, "bi-encoder", 4),
        ([*WRITTEN, "--reranker", "chooser", "--num-replies", "3"], {"written"}, "bi-encoder", 3),
        ([*WRITTEN, "--reranker", "likelihood", "--num-replies", "3"], {"written"}, "likelihood", 3),
    ],
    ids=lambda value: " ".join(part for part in value if part not in VARIED) if isinstance(value, list) else "",
)
def test_replies_are_written_chosen_or_both_and_each_line_tells_which(
    parts: Path, arguments: list[str], sources: set[str], ranked_by: str, count: int
) -> None:
    (parts / "in.jsonl").write_text('["Hello"]\n["How are you?", "I am fine.", "And you?"]\n')
    given = ["generate", "--input", "in.jsonl", "--dtype", "float32", *arguments]
    for name, concurrency in (("one", "1"), ("many", "8")):
        assert main([*given, "--output", name, "--concurrency", concurrency]) == 0
    assert (parts / "one").read_bytes() == (parts / "many").read_bytes()
    for line in map(json.loads, (parts / "one").read_text().splitlines()):
        came = line.get("provenance", [{"source": "written"}] * len(line["responses"]))
        assert {source["source"] for source in came} == sources and line["ranked_by"] == ranked_by
        assert len(came) == len(line["responses"]) == len(line["scores"]) == count
        assert line["turns"][-1] == line["responses"][0] and line["scores"] == sorted(line["scores"], reverse=True)
        for text, source in zip(line["responses"], came, strict=True):
            if source["source"] == "chosen":
                assert distinct_candidates(parts / "list.txt")[source["number"]].text == text


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_replies_of_an_adapter_resume_only_with_the_same_base(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from peft import LoraConfig, get_peft_model

    base = tmp_path / "base"
    network = tiny_llama()
    network.save_pretrained(base)
    ConversationTokenizer.learn(["Hello"], 259).save_pretrained(base)
    adapted = get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj"]))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    (tmp_path / "in.jsonl").write_text('["Hello"]\n')
    given = ["generate", "--model", str(tmp_path / "adapter")]
    given += ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    assert main(given) == 0
    assert main(given) == 0
    (base / "generation_config.json").write_text('{"do_sample": false}')
    with pytest.raises(SystemExit):
        main(given)


def test_replies_to_a_file_resume_only_with_the_same_candidates(parts: Path) -> None:
    (parts / "in.jsonl").write_text('["Hello"]\n')
    given = ["generate", "--input", "in.jsonl", "--output", "out.jsonl", *CHOSEN]
    assert main(given) == 0
    assert main(given) == 0
    (parts / "list.txt").write_text("Another one.\n")
    with pytest.raises(SystemExit):
        main(given)
    about = json.loads((parts / "out.jsonl.about.json").read_text())
    assert about["named"]["model"] == "chooser + list.txt" and about["options"]["num_candidates"] == 10
