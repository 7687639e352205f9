from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.serving.store import Store
from convmodel.serving.store.keys import digest


def keys(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """What the command writes to stdout and stderr."""
    assert main(["keys", *arguments]) == 0
    said = capsys.readouterr()
    return said.out, said.err


def test_a_key_is_shown_once_listed_by_its_name_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert keys(capsys, "list") == ("", "there are no keys; python -m convmodel keys add NAME creates one\n")
    key, note = keys(capsys, "add", "anna")
    assert "cannot be shown again" in note
    with Store("convmodel.db") as store:
        assert store.digests() == {digest(key.strip()): "anna"}
    assert keys(capsys, "list")[0].startswith("anna\tsince 20")
    assert key.strip() not in keys(capsys, "list")[0]
    assert keys(capsys, "remove", "anna", "--store", "sqlite:///convmodel.db")[0].startswith(
        "The key of anna is revoked"
    )
    assert keys(capsys, "--store", "other.db", "list")[0] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["convmodel.db", "other.db"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "a b"], "error: 'a b' cannot be the name of a key"),
        (["add", "anna"], "error: there is a key named 'anna' already; remove it first"),
        (["remove", "bob"], "error: there is no key named 'bob'; there are: anna"),
        (["list", "--store", "missing/s.db"], "error: missing/s.db: there is no folder "),
        (["list", "--store", "x://y"], "error: unsupported database x; use sqlite:///convmodel.db"),
    ],
)
def test_an_error_of_keys_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    keys(capsys, "add", "anna")
    with pytest.raises(SystemExit) as end:
        main(["keys", *arguments])
    err = capsys.readouterr().err
    assert end.value.code == 2
    assert err.startswith(message) and err.count("\n") == 1
