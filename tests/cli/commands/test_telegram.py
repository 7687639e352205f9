"""The command `telegram`: invalid options, and a bot with a server in the same process."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.serving.store import Store
from tests.fakes import FakeResponder
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.harness import run


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
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
    ("token", "arguments", "message"),
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
def test_invalid_input_is_reported_in_one_line(
    token: str, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", token)
    with pytest.raises(SystemExit) as end:
        main(["telegram", *arguments])
    err = capsys.readouterr().err
    assert end.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert message in err and "sec" not in err


@pytest.mark.slow
def test_a_bot_with_a_model_in_the_same_process_answers_until_a_signal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command runs in the main thread, which signals require, and the Bot API in another."""
    opened = argparse.Namespace(responder=FakeResponder(), adapters={}, documents=None, selector=None, reranker=None)
    monkeypatch.setattr("convmodel.cli.options.open_all", lambda options: contextlib.nullcontext(opened))
    ready = threading.Event()
    api_url = [""]
    texts: list[str] = []

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
