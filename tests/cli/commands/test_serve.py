"""Numbers and settings on the command line of serve; tests/serving/test_server.py runs the command."""

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path

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
    arguments = ["--host", "LAN.example", "--allowed-host", "Bot.example", "--cors", "https://a.example"]
    options = parser().parse_args([*arguments, "--max-waiting", "3", "--keep-days", "0.5"])
    settings = settings_of(options)
    assert settings.max_waiting == 3 and options.keep_days == timedelta(hours=12)
    assert {"localhost", "lan.example", "bot.example"} <= set(settings.hosts)
    assert settings.origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "'65536' is not a port; give 0 to 65535"),
        (["--keep-days", "0"], "'0' is not a number of days; give more than 0, to 36500"),
        (["--keep-days", "x"], "'x' is not a number of days"),
        (["--max-waiting", "0"], "'0' is not a whole number from 1"),
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
    for option in (["--preset", "bold"], ["--persona", "I am old."], ["--num-replies", "2"], ["--set", "top_k=5"]):
        with pytest.raises(ValueError, match=f"nothing replies here, so leave out .*{option[0]}"):
            make_service(parser().parse_args(["--selector", "bi", *option]), opened)


def test_adapters_have_the_name_that_is_given_or_that_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    folder.mkdir()
    given = ["--adapter", "formal=runs/1", "--adapter", "runs/casual", "--adapter", str(folder), "--adapter", "x=a/b=c"]
    named = parser().parse_args(given).adapters
    assert named == [("formal", "runs/1"), ("casual", "runs/casual"), ("a=b", str(folder)), ("x", "a/b=c")]


@pytest.mark.parametrize("value", ["", "=runs/1", "name="])
def test_an_adapter_without_name_or_folder_is_rejected(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--adapter", value])
    assert "give NAME=DIR, or the folder of an adapter" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["a=x", "a=y"], ["model=x"]])
def test_two_models_of_one_name_are_refused_before_anything_is_loaded(arguments: list[str]) -> None:
    options = [part for value in arguments for part in ("--adapter", value)]
    with pytest.raises(ValueError, match=r"--adapter \w+: another model has this name; give another one"):
        COMMAND.execute(parser().parse_args(["--store", "none", "--port", "0", *options]))
