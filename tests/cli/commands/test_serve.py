"""Numbers and settings on the command line of serve; tests/serving/test_server.py runs the command."""

from argparse import ArgumentParser
from datetime import timedelta

import pytest

from convmodel.cli.commands.serve import COMMAND, settings_of


def parser() -> ArgumentParser:
    made = ArgumentParser()
    COMMAND.add_options(made)
    return made


def test_limits_hosts_and_origins_become_settings() -> None:
    arguments = ["--host", "LAN.example", "--allowed_host", "Bot.example", "--cors", "https://a.example"]
    options = parser().parse_args([*arguments, "--max_waiting", "3", "--keep_days", "0.5"])
    settings = settings_of(options)
    assert settings.max_waiting == 3 and options.keep_days == timedelta(hours=12)
    assert {"localhost", "lan.example", "bot.example"} <= set(settings.hosts)
    assert settings.origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "'65536' is not a port; give 0 to 65535"),
        (["--keep_days", "0"], "'0' is not a number of days; give more than 0, to 36500"),
        (["--keep_days", "x"], "'x' is not a number of days"),
        (["--max_waiting", "0"], "'0' is not a whole number from 1"),
    ],
)
def test_invalid_numbers_are_rejected(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert message in capsys.readouterr().err
