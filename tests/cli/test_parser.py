"""Options with dashes and underscores, and errors for unknown options and commands."""

from argparse import ArgumentParser

import pytest

from convmodel.cli.parser import CommandParser, check_command


def make_parser() -> CommandParser:
    """Return a parser with a group and a command inside."""
    parser = CommandParser(prog="program")
    parser.add_argument("--store-url")
    inner = parser.add_subparsers(dest="command").add_parser("run")
    inner.add_argument_group("numbers").add_argument("--num-replies", type=int, required=True)
    inner.add_argument("--say")
    inner.add_argument("files", nargs="*")
    return parser


@pytest.mark.parametrize("number", [["--num-replies", "3"], ["--num_replies", "3"], ["--num_replies=3"]])
def test_an_option_is_read_with_dashes_and_with_underscores(number: list[str]) -> None:
    options = make_parser().parse_args(["--store_url=a_b", "run", *number])
    assert (options.num_replies, options.store_url) == (3, "a_b")


def test_values_and_words_after_two_dashes_keep_their_underscores() -> None:
    options = make_parser().parse_args(["run", "--num-replies=1", "--say", "a_b", "--", "--num_replies", "--un_known"])
    assert (options.say, options.files) == ("a_b", ["--num_replies", "--un_known"])


def test_a_text_with_a_space_is_a_value() -> None:
    assert make_parser().parse_args(["run", "--num-replies=1", "--say", "--as you like"]).say == "--as you like"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--num_repliez", "3"], "--num_repliez: there is no such option; did you mean --num-replies?"),
        (["run", "--num", "3"], "--num: there is no such option; program run --help lists the options"),
        (["run", "--sey=3"], "--sey: there is no such option; did you mean --say?"),
        (["--store", "3", "run"], "--store: there is no such option; did you mean --store-url?"),
        (["--zzz"], "--zzz: there is no such option; program --help lists the options"),
        (["run", "--num-replies=1", "-z"], "-z: there is no such option; program run --help lists the options"),
    ],
)
def test_an_unknown_option_is_an_error_of_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        make_parser().parse_args(words)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_value_too_many_is_an_error_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser(prog="program")
    with pytest.raises(SystemExit):
        parser.parse_args(["stray"])
    message = "error: stray: is not an option, and no further value is expected here; program --help lists the options"
    assert capsys.readouterr().err == f"{message}\n"


def test_an_unknown_command_is_an_error_with_the_most_similar_one(capsys: pytest.CaptureFixture[str]) -> None:
    check_command("chat", ["chat", "serve"])
    for name, hint in (("chatt", "did you mean chat?"), ("zzz", "the commands are chat, serve")):
        with pytest.raises(SystemExit):
            check_command(name, ["chat", "serve"])
        assert capsys.readouterr().err == f"error: {name}: there is no such command; {hint}\n"


def test_common_options_are_first_in_the_help_and_are_there_once() -> None:
    parser = CommandParser(prog="p", common=["--often", "--name"], examples=["--often"])
    group = parser.add_argument_group("rare options")
    for name in ("--rare", "--name", "--often"):
        group.add_argument(name, help=f"about {name[2:]}")
    help = parser.format_help()
    assert help.startswith("usage: p [OPTION ...]\n\ncommon options:\n  --often OFTEN  about often\n  --name NAME")
    assert help.index("about name") < help.index("rare options:") < help.index("about rare")
    assert help.count("about often") == 1 and help.endswith("examples:\n  p --often\n")


def test_without_common_options_the_help_is_that_of_argparse() -> None:
    ours, argparse_ = CommandParser(prog="p", description="d"), ArgumentParser(prog="p", description="d")
    for parser in (ours, argparse_):
        group = parser.add_argument_group("more", "explained").add_mutually_exclusive_group()
        group.add_argument("--a")
        group.add_argument("--b", action="store_true", help="flag")
        parser.add_argument("file", nargs="+")
    assert ours.format_help() == argparse_.format_help()
