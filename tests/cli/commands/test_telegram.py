"""`python -m convmodel telegram`: what it is told, what it refuses, and a bot with a server in its own process."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.cli.commands import telegram
from convmodel.serving.store import Store
from convmodel.serving.telegram.bot import check_address, single_instance_lock
from convmodel.serving.telegram.embedded_server import own_key
from convmodel.serving.telegram.log_redaction import RedactTokenFilter
from tests.fakes import FakeResponder
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.harness import World, run
from tests.serving.telegram.served import Served


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.delenv("CONVMODEL_API_KEY", raising=False)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    monkeypatch.chdir(tmp_path)
    names = ("convmodel.serving", "uvicorn")
    before = [(name, *_of(name)) for name in names]
    last = list(logging.lastResort.filters if logging.lastResort else [])
    yield
    for name, handlers, level, propagate in before:
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    if logging.lastResort:
        logging.lastResort.filters[:] = last


def _of(name: str) -> tuple[list[logging.Handler], int, bool]:
    logger = logging.getLogger(name)
    return list(logger.handlers), logger.level, logger.propagate


@pytest.mark.parametrize(
    ("given", "arguments", "told"),
    [
        ("", [], "there is no token; put the one that @BotFather gave into $TELEGRAM_BOT_TOKEN"),
        ("secret", [], "$TELEGRAM_BOT_TOKEN is not a valid token; tokens look like 123456:ABC-DEF"),
        ("42:sec ret", [], "$TELEGRAM_BOT_TOKEN is not a valid token; tokens look like 123456:ABC-DEF"),
        (TOKEN, ["--api", "ftp://x"], "'ftp://x' is not the address of a Bot API server; use one such as"),
        (TOKEN, ["--url", "localhost:8000"], "'localhost:8000' is not the address of a convmodel server"),
        (TOKEN, ["--url", "http://x", "--model", "m"], "leave --model out, or --url"),
        (TOKEN, ["--url", "http://x", "--set", "top_k=3"], "leave --set out, or --url"),
        (TOKEN, ["--store", "no/where.db"], "no/where.db"),
        (TOKEN, ["--store", "mysql://x/y"], "unsupported database mysql"),
        (TOKEN, ["--model", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_followed_is_told_in_one_line(
    given: str, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", given)
    with pytest.raises(SystemExit) as end:
        main(["telegram", *arguments])
    err = capsys.readouterr().err
    assert end.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert told in err and "sec" not in err


def test_a_bot_with_a_model_in_its_own_process_answers_until_a_signal_comes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command runs in the main thread, as signals want it; Telegram in another."""
    opened = argparse.Namespace(responder=FakeResponder(), documents=None)
    monkeypatch.setattr(telegram, "open_all", lambda options: contextlib.nullcontext(opened))
    ready, api_url, texts = threading.Event(), [""], list[str]()

    async def people() -> None:
        async with FakeApi() as api:
            api_url[0] = api.url
            ready.set()
            await api.say("Hello")
            await api.until(1)
            await api.say("/persona")
            texts.extend(await api.until(2))
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.5)

    thread = threading.Thread(target=lambda: run(people()))
    thread.start()
    ready.wait(10)
    arguments = ["--api", api_url[0], "--store", "sqlite:///one.db", "--preset", "bold", "--persona", "I am old."]
    assert main(["telegram", *arguments]) == 0
    thread.join()
    assert len(texts) == 2 and texts[1] == "I am old."
    out = capfd.readouterr()
    assert "@convbot answers with model" in out.err and TOKEN.split(":")[1] not in out.err + out.out
    with Store("sqlite:///one.db") as store:
        assert store.digests() == {}  # the key lives in the process alone


def test_a_server_that_wants_a_key_gets_it_and_one_that_gets_another_is_told_of_at_once(tmp_path: Path) -> None:
    key, keys = own_key()

    async def work() -> None:
        async with FakeApi() as api, Served(tmp_path, keys=keys) as server:
            with pytest.raises(ValueError, match="requires an API key"):
                async with World(api, server, tmp_path, {"key": "cm-wrong"}).bot() as bot:
                    await bot
            w = World(api, server, tmp_path, {"key": key})
            async with w.bot():
                assert await w.ask("Hello") == "re: Hello"

    run(work())


def test_two_bots_do_not_share_a_store(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'bot.db'}"
    with single_instance_lock(address):
        with pytest.raises(ValueError, match="another bot uses it"), single_instance_lock(address):
            pass
        with single_instance_lock("postgresql://x/y"), single_instance_lock(f"sqlite:///{tmp_path / 'other.db'}"):
            pass
    with single_instance_lock(address):
        pass


def test_addresses_are_cut_of_their_last_slash_and_hold_nothing_else() -> None:
    assert check_address("https://example.org:81/bots/", what="x") == "https://example.org:81/bots"
    for bad in ("", "x", "http://", "http://a b", "http://a/{token}", "http://a:99999", "http://a:x", "http://a?b=c"):
        with pytest.raises(ValueError, match="is not the address of x"):
            check_address(bad, what="x")


def test_a_token_is_hidden_wherever_it_stands_in_a_line() -> None:
    record = logging.LogRecord("x", 30, "", 0, "%s and %d", (f"https://api/bot{TOKEN}/getMe", 3), None)
    assert RedactTokenFilter(TOKEN).filter(record)
    assert record.getMessage() == "https://api/bot42:.../getMe and 3"


def test_a_token_is_hidden_in_what_an_error_says_too() -> None:
    try:
        try:
            raise OSError(f"https://api/bot{TOKEN}/getMe")
        except OSError:
            raise RuntimeError(f"no answer from bot{TOKEN}")  # noqa: B904 - as libraries do
    except RuntimeError:
        record = logging.LogRecord("x", 40, "", 0, "Task exception was never retrieved", (), sys.exc_info())
    assert RedactTokenFilter(TOKEN).filter(record)
    line = logging.Formatter().format(record)
    assert "RuntimeError\n" in line and TOKEN.partition(":")[2] not in line
