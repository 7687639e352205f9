"""Numbers and settings on the command line of serve; tests/serving/test_server.py runs the command."""

from argparse import ArgumentParser
from datetime import timedelta

import pytest

from convmodel.cli.commands.serve import COMMAND, make_service, settings_of
from convmodel.responders.loading import LoadedModels
from convmodel.responders.selector_worker import SelectorWorker
from tests.conftest import MakeSelector


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


def test_a_selector_alone_embeds_and_ranks(make_selector: MakeSelector) -> None:
    opened = LoadedModels(None, selector=SelectorWorker(make_selector()))
    service = make_service(parser().parse_args(["--selector", "folders/bi"]), opened, model="bi")
    assert service.talker is None and service.embeddings is not None and service.rankings is not None
    assert (service.title, service.preset) == ("bi", None)
    for option in (["--preset", "bold"], ["--persona", "I am old."], ["--num_replies", "2"], ["--set", "top_k=5"]):
        with pytest.raises(ValueError, match=f"nothing replies here, so leave out .*{option[0]}"):
            make_service(parser().parse_args(["--selector", "bi", *option]), opened)
