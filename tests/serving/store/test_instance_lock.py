"""Which processes may use one store at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.serving.store import Store
from convmodel.serving.store.errors import StoreError
from convmodel.serving.store.instance_lock import instance_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="flock")

HOLDER = """
import sys, time
from convmodel.serving.store.instance_lock import instance_lock

with instance_lock(sys.argv[1], "server"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_server_or_bot_on_one_sqlite_file_is_refused(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 's.db'}"
    (tmp_path / "link.db").symlink_to(tmp_path / "s.db")
    for user in ("server", "bot"):
        with instance_lock(address, user):
            for name in (address, str(tmp_path / "s.db"), str(tmp_path / "link.db")):
                message = rf"another {user} uses it \(process {os.getpid()}\); stop that one, or give another --store"
                with pytest.raises(StoreError, match=message), instance_lock(name, user):
                    pass
            with instance_lock(str(tmp_path / "other.db"), user):
                pass
        with instance_lock(address, user):
            pass


def test_a_server_and_a_bot_may_share_a_store(tmp_path: Path) -> None:
    address = str(tmp_path / "s.db")
    with instance_lock(address, "server"), instance_lock(address, "bot"):
        pass


def test_servers_may_share_a_postgresql_store() -> None:
    with instance_lock("postgresql://x/y", "server"), instance_lock("postgresql://x/y", "server"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    address = str(tmp_path / "s.db")
    command = [sys.executable, "-c", HOLDER, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=rf"\(process {process.pid}\)"), instance_lock(address, "server"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with instance_lock(address, "server"):
        pass


def test_a_second_server_is_refused_before_its_model_is_loaded_and_keys_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("convmodel.db"), instance_lock("convmodel.db", "server"):
        with pytest.raises(SystemExit):
            main(["serve", "--port", "0", "--model", "nothing"])
        error = capsys.readouterr().err
        assert error.startswith("error: sqlite:///convmodel.db: another server uses it (process ")
        assert "nothing" not in error
        assert main(["keys", "add", "anna"]) == 0
