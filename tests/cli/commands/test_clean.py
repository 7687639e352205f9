"""`clean` lists what the package has written, asks, and removes nothing else."""

import io
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.cli.commands.clean import format_size
from convmodel.serving.store import Store
from convmodel.serving.store.instance_lock import instance_lock


class Terminal(io.StringIO):
    """An input that a person types into."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cache, a history, a store, and files of the user."""
    monkeypatch.setenv("CONVMODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    work = tmp_path / "work"
    for folder in (tmp_path / "cache" / "tokens", tmp_path / "state" / "convmodel", work / "model"):
        folder.mkdir(parents=True)
    (tmp_path / "cache" / "tokens" / "ids").write_bytes(bytes(2500))
    (tmp_path / "state" / "convmodel" / "chat_history").write_text("Hello", encoding="utf-8")
    (work / "model" / "config.json").touch()
    monkeypatch.chdir(work)
    Store("sqlite:///convmodel.db").close()
    return tmp_path


def left(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_a_dry_run_lists_and_removes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = left(home)
    assert main(["clean", "--dry-run"]) == 0
    assert left(home) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{home / 'cache'}: cached tokens and vocabularies; made again when they are needed (2.5 kB)"
    assert lines[1].endswith("chat_history: what was typed in the chat (5 bytes)")
    assert lines[2].startswith("convmodel.db: conversations and keys of the server in this folder (")


def test_everything_listed_is_removed_and_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--yes"]) == 0
    assert left(home) == [str(Path("work", "model", "config.json"))]
    capsys.readouterr()
    assert main(["clean", "--yes"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_each_item_is_removed_after_a_question(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\nn\n\n"))
    assert main(["clean"]) == 0
    assert not (home / "cache").exists()
    assert (home / "state" / "convmodel" / "chat_history").exists() and Path("convmodel.db").exists()


def test_without_a_terminal_nothing_is_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\n"))
    before = left(home)
    with pytest.raises(SystemExit):
        main(["clean"])
    assert "the input is not a terminal; give --yes" in capsys.readouterr().err
    assert left(home) == before


@pytest.mark.usefixtures("home")
def test_a_store_in_use_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with instance_lock("sqlite:///convmodel.db", "server"), pytest.raises(SystemExit):
        main(["clean", "--yes"])
    assert "convmodel.db: a server uses it (process " in capsys.readouterr().err
    assert Path("convmodel.db").exists()


def test_sizes_have_a_unit() -> None:
    assert [format_size(size) for size in (0, 999, 1000, 2_540_000, 3 * 10**9)] == [
        *("0 bytes", "999 bytes"),
        *("1.0 kB", "2.5 MB", "3.0 GB"),
    ]
