"""Names on the Hub, and a Hub that answers, answers nothing, or is not asked."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from convmodel.models import folder as folder_module
from convmodel.models import hub
from convmodel.models.folder import checked_source, has_file
from convmodel.models.hub import may_be_on_hub


class Hub(BaseHTTPRequestHandler):
    """A Hub that has nothing."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture(autouse=True)
def _asks_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go online, in an empty folder, without results of earlier tests."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    hub._log_query.cache_clear()
    hub._connection_error.cache_clear()


@pytest.fixture
def running_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a Hub on this machine, and ask it instead of the real one."""
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")


@pytest.mark.parametrize("name", ["model", "chat-model", "my model", "a--b/c", "../model", "~/model", "gpt2-mine"])
def test_the_hub_is_not_asked_for_a_name_that_it_cannot_have(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "hf_hub_download", pytest.fail)
    assert not may_be_on_hub(name) and not has_file(name, "document.json")
    with pytest.raises(FileNotFoundError, match=rf"{name}: no such folder here, .*; give the folder .*, or train one"):
        checked_source(name)


@pytest.mark.parametrize(
    "name",
    ["gpt2", "gpt2-medium", "distilgpt2", "openai-community/gpt2", "bert-base-uncased", "t5-small", "a/b.c_1"],
)
def test_asking_the_hub_is_logged_once(
    name: str, running_hub: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert checked_source(name) == checked_source(name) == name
    told = [record.getMessage() for record in caplog.records if record.name == hub.__name__]
    assert told == [f"{name}: no such folder here; asking the Hugging Face Hub"]
    (tmp_path / name).mkdir(parents=True)
    assert not may_be_on_hub(name)


def test_a_hub_that_cannot_be_reached_is_tried_once(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "hf_hub_download", pytest.fail)
    assert not has_file("a/b", "config.json") and not has_file("a/b", "adapter_config.json")
    with pytest.raises(FileNotFoundError, match=r"a/b: no such folder here, and the .* Hub cannot be reached \(http"):
        checked_source("a/b")
    assert hub._connection_error.cache_info().misses <= 2  # another one where a minute ends within this test


def test_the_hub_is_tried_again_after_a_minute(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, tries in ((60.0, 1), (119.0, 1), (120.0, 2)):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        assert hub.find_connection_error("a/b") is not None
        assert hub._connection_error.cache_info().misses == tries


def test_without_the_hub_no_connection_is_tried(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.find_connection_error("a/b") is None
    assert hub._connection_error.cache_info().misses == 0
