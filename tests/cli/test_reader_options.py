"""Options of commands that read files."""

import importlib
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.cli.command import Command
from convmodel.cli.commands import serve, telegram
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.data.candidates import CandidateReader
from convmodel.data.options import OptionValues, ReadOptions, name_flag


def parse(*arguments: str) -> ReadOptions:
    parser = ArgumentParser()
    add_reader_options(parser)
    return get_reader_options(parser.parse_args(arguments))


def test_options_that_are_not_given_have_defaults() -> None:
    assert parse() == ReadOptions(on_error="stop")


def test_every_option_of_readers_is_there() -> None:
    assert parse("--keep-speakers") == ReadOptions(on_error="stop", keep_speakers=True)
    options = parse(
        *("--format", "csv", "--columns", "context=a,response=b", "--encoding", "cp1252", "--on-error", "skip"),
        *("--max-line-bytes", "9", "--me", "Ida", "--gap", "2h", "--name-speakers", "--mask"),
    )
    assert options == ReadOptions("csv", "context=a,response=b", "cp1252", "skip", 9, "Ida", "2h", True, True)
    with pytest.raises(ValueError, match="max_line_bytes=0: give"):
        parse("--max-line-bytes", "0")


def test_a_command_names_options_in_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.csv").write_bytes("context,response\nOù ?,là\n".encode("cp1252"))
    source, output = str(tmp_path / "in.csv"), str(tmp_path / "out.jsonl")
    with pytest.raises(SystemExit):
        main(["convert", source, output])
    assert "read it with --encoding cp" in (told := capsys.readouterr().err) and told.endswith("with --on-error skip\n")
    assert main(["convert", source, output, "--encoding", "cp1252"]) == 0
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == '{"turns": ["Où ?", "là"]}\n'


@pytest.mark.parametrize("command", ["chat", "convert", "evaluate", "generate", "index", "inspect", "mine"])
def test_every_command_that_reads_has_every_option_of_readers(command: str) -> None:
    parser = ArgumentParser()
    importlib.import_module(f"convmodel.cli.commands.{command}").COMMAND.add_options(parser)
    names = set(OptionValues.__annotations__)
    assert {name_flag(name) for name in names} <= set(parser._option_string_actions)


@pytest.mark.parametrize("command", [serve.COMMAND, telegram.COMMAND])
def test_a_command_without_reader_options_names_those_of_index(command: Command, tmp_path: Path) -> None:
    (tmp_path / "candidates.txt").write_bytes("Où est-il ?\nLà-bas, à côté.\n".encode("cp1252"))
    reading = replace(command, run=lambda _: len(list(CandidateReader(tmp_path / "candidates.txt"))))
    with pytest.raises(ValueError, match="read it with python -m convmodel index --encoding cp"):
        reading.execute(Namespace())
