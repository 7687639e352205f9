"""The commands chat and generate with a model, from the command line to the files."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.candidates import distinct_candidates
from tests.conftest import TEXTS, MakeModel, MakeSelector


@pytest.fixture
def folder(tmp_path: Path, make_model: MakeModel) -> str:
    make_model(ending=3.0).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


class Stdin(io.TextIOWrapper):
    """A pipe with something in it."""

    def __init__(self, text: str) -> None:
        super().__init__(io.BytesIO(text.encode()))


def test_a_model_replies_through_a_pipe(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["chat", "--model", folder, "--seed", "3", "--set", "min_new_tokens=3", "--set", "max_new_tokens=8"]
    seen = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", Stdin("Hello\nHow are you?\n"))
        assert main([*arguments, "--persona", "I am fine."]) == 0
        seen.append(capsys.readouterr())
    assert seen[0].out == seen[1].out and seen[0].out.count("\n") == 2
    assert "of 64 tokens" in seen[0].err and "seed 3" in seen[0].err


def test_a_file_is_replied_to_and_its_replies_repeat(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "temperature"], "'temperature' is not a setting; write name=value"),
        (["--num_replies", "0"], "'0' is not a whole number from 1"),
        (["--dtype", "int4"], "invalid choice: 'int4'"),
    ],
)
@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_a_wrong_option_is_told_with_the_usage(
    command: list[str], more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, *more])
    assert end.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_ctrl_c_ends_a_command_without_a_traceback(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"convmodel.cli.commands.{command[0]}.open_responder", interrupted)
    monkeypatch.setattr(sys, "stdin", Stdin(""))
    assert main(command) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ([], "self_repetition_penalty = 0.3"),
        (["--preset", "off"], "self_repetition_penalty is not set"),
        (["--set", "num_beams=2"], "self_repetition_penalty is not set"),
        (["--preset", "lively", "--set", "top_k=7"], "self_repetition_penalty = 0.6"),
    ],
    ids=" ".join,
)
def test_a_chat_begins_with_the_preset_that_repeats_itself_least_unless_something_else_is_said(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("/set self_repetition_penalty\n"))
    assert main(["chat", "--model", folder, *more]) == 0
    assert shown in capsys.readouterr().err


def test_the_penalties_by_count_are_set_and_shown_as_all_options(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "/set frequency_penalty 0.5\n/set presence_penalty\n/set\nHello\n"
    monkeypatch.setattr(sys, "stdin", Stdin(typed))
    assert main(["chat", "--model", folder, "--set", "presence_penalty=-1"]) == 0
    out, told = capsys.readouterr()
    assert "frequency_penalty = 0.5" in told and "presence_penalty = -1" in told
    assert re.search(r"^ *frequency_penalty +0\.5 ", told, re.MULTILINE), told
    assert out.strip()


# Written and chosen


@pytest.fixture
def parts(folder: str, tmp_path: Path, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a selector and a list of candidates, in which the commands run."""
    make_selector().save_pretrained(tmp_path / "chooser")
    (tmp_path / "list.txt").write_text("\n".join(["", *TEXTS, TEXTS[0], "It rains.", "Good night."]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path


CHOSEN = ["--selector", "chooser", "--candidates", "list.txt"]
VARIED = ["max_new_tokens=6", "min_new_tokens=4", "temperature=2.0", "top_k=0", "do_sample=true"]
WRITTEN = ["--model", "model", *(part for setting in VARIED for part in ("--set", setting))]


@pytest.mark.parametrize(
    ("arguments", "sources", "ranked_by", "count"),
    [
        (CHOSEN, {"chosen"}, "bi-encoder", 6),
        ([*CHOSEN, "--num_candidates", "3"], {"chosen"}, "bi-encoder", 3),
        ([*CHOSEN, "--reranker", "chooser"], {"chosen"}, "bi-encoder", 6),
        ([*WRITTEN, *CHOSEN, "--num_replies", "2"], {"written", "chosen"}, "bi-encoder", 8),
        (
            [*WRITTEN, *CHOSEN, "--num_candidates", "1", "--reranker", "likelihood"],
            {"written", "chosen"},
            "likelihood",
            5,
        ),
        ([*WRITTEN, "--selector", "chooser"], {"written"}, "bi-encoder", 4),
        ([*WRITTEN, "--reranker", "chooser", "--num_replies", "3"], {"written"}, "bi-encoder", 3),
        ([*WRITTEN, "--reranker", "likelihood", "--num_replies", "3"], {"written"}, "likelihood", 3),
    ],
    ids=lambda value: " ".join(each for each in value if each not in VARIED) if isinstance(value, list) else "",
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
        assert {each["source"] for each in came} == sources and line["ranked_by"] == ranked_by
        assert len(came) == len(line["responses"]) == len(line["scores"]) == count
        assert line["turns"][-1] == line["responses"][0] and line["scores"] == sorted(line["scores"], reverse=True)
        for text, each in zip(line["responses"], came, strict=True):
            if each["source"] == "chosen":
                assert distinct_candidates(parts / "list.txt")[each["number"]].text == text


def test_replies_to_a_file_go_on_only_with_the_same_candidates(parts: Path) -> None:
    (parts / "in.jsonl").write_text('["Hello"]\n')
    given = ["generate", "--input", "in.jsonl", "--output", "out.jsonl", *CHOSEN]
    assert main(given) == 0
    assert main(given) == 0
    (parts / "list.txt").write_text("Another one.\n")
    with pytest.raises(SystemExit):
        main(given)
    about = json.loads((parts / "out.jsonl.about.json").read_text())
    assert about["named"]["model"] == "chooser + list.txt" and about["options"]["num_candidates"] == 10


def test_a_chat_chooses_and_shows_the_field(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "your persona: I live in Rome.\nHello\n/why\n/set\n/reset\nyour persona: I like rain.\nHello\n/persona\n"
    monkeypatch.setattr(sys, "stdin", Stdin(said))
    assert main(["chat", *WRITTEN, *CHOSEN, "--num_candidates", "2", "--seed", "1"]) == 0
    seen = capsys.readouterr()
    assert seen.out.count("\n") == 2
    for part in ("persona: I live in Rome.", "chosen #", "by bi-encoder", "written, 2 chosen", "selection_temperature"):
        assert part in seen.err
    assert seen.err.rstrip().endswith("I like rain.") and "of 64 tokens" in seen.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--selector", "chooser"], "there is a selector and nothing to choose from; give candidates"),
        (["--candidates", "list.txt"], "there are candidates and nothing that chooses among them; give a selector"),
        (["--reranker", "selector"], "reranker 'selector': there is none; give one"),
        ([*CHOSEN, "--reranker", "likelihood"], "reranker 'likelihood': there is no model that writes"),
        ([*CHOSEN, "--reranker", "model"], "model: "),
        ([*CHOSEN, "--num_replies", "2"], "there is no option 'num_return_sequences'; where replies are only chosen"),
        ([*CHOSEN, "--preset", "balanced"], "there is no preset 'balanced'; this model has none"),
        (["--selector", "chooser", "--candidates", "none.txt"], "none.txt: there is no such file"),
        (["--selector", "none", "--candidates", "list.txt"], "none"),
        ([*WRITTEN, "--num_candidates", "2"], "there is no option 'num_candidates'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_is_told_in_one_line(
    parts: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("Hello\n"))
    with pytest.raises(SystemExit) as end:
        main(["chat", *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and told in err and err.count("\n") == 1


def test_an_index_and_a_list_are_not_given_at_once(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chat", *CHOSEN, "--index", "index"])
    assert end.value.code == 2 and "not allowed with argument --candidates" in capsys.readouterr().err
