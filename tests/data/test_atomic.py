"""Files and folders that are whole at any moment, also when their writer is killed."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from convmodel.data import atomic
from convmodel.data.atomic import (
    atomic_file,
    atomic_folder,
    check_file_writable,
    check_folder_writable,
    file_lock,
    process_lock,
)

FILES = 8
WRITER = """
import itertools, sys
from convmodel.data import atomic
from pathlib import Path

folder, file, exchanges = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"
if not exchanges:
    atomic._exchange = lambda one, other: False
print("ready", flush=True)
for version in itertools.count(1):
    with atomic.atomic_folder(folder) as fresh:
        (fresh / "deep").mkdir()
        for number in range(int(sys.argv[4])):
            (fresh / "deep" / str(number)).write_text(str(version))
    with atomic.atomic_file(file) as fresh:
        fresh.write_text(f"{version} " * 50_000)
"""


def write(folder: Path, version: str, *, replace: bool = True) -> None:
    with atomic_folder(folder, replace=replace) as fresh:
        (fresh / "deep").mkdir()
        for number in range(FILES):
            (fresh / "deep" / str(number)).write_text(version)


def versions(folder: Path) -> set[str]:
    """The versions of the files of a folder, which are all there."""
    assert sorted(os.listdir(folder)) == ["deep"]
    return {(folder / "deep" / str(number)).read_text() for number in range(FILES)}


@contextmanager
def writing(folder: Path, file: Path, *, exchanges: bool = True) -> Iterator["subprocess.Popen[str]"]:
    """A process that replaces a folder and a file again and again, and is killed at the end of the block."""
    arguments = [sys.executable, "-c", WRITER, str(folder), str(file), str(exchanges), str(FILES)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


# Whole at any moment


@pytest.mark.slow
def test_whenever_the_writer_is_killed_one_whole_version_is_there(tmp_path: Path) -> None:
    source = random.Random(0)
    folder, file = tmp_path / "model", tmp_path / "file.txt"
    write(folder, "0")
    file.write_text("0 " * 50_000)
    remains = 0
    for _ in range(20):
        with writing(folder, file):
            until = time.monotonic() + source.uniform(0.005, 0.05)
            while time.monotonic() < until:
                assert folder.is_dir()
                assert len(set(file.read_text().split())) == 1
        assert len(versions(folder)) == 1
        written = file.read_text().split()
        assert len(written) == 50_000 and len(set(written)) == 1
        remains += len(os.listdir(tmp_path)) > 2
    assert remains > 5  # it was killed in the middle of its work, and not between
    write(folder, "last")
    with atomic_file(file) as fresh:
        fresh.write_text("last")
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "model"]


@pytest.mark.slow
def test_where_folders_cannot_be_exchanged_a_kill_leaves_a_whole_version_there_or_beside(tmp_path: Path) -> None:
    source = random.Random(1)
    folder, file = tmp_path / "model", tmp_path / "file.txt"
    for _ in range(10):
        if not folder.exists():
            write(folder, "0")
        with writing(folder, file, exchanges=False):
            time.sleep(source.uniform(0.005, 0.05))
        [found] = [folder] if folder.exists() else list(tmp_path.glob(".model.old-*"))
        assert len(versions(found)) == 1


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "moved aside"])
def test_a_folder_is_replaced_whole_and_nothing_is_left_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    target = tmp_path / "above" / "model"
    for version in ("1", "2", "3"):
        write(target, version)
        assert versions(target) == {version}
        assert os.listdir(target.parent) == ["model"]
        (target / "of the old version only").touch()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows exchanges no folders")
def test_the_exchange_is_what_replaces_a_folder_here(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").write_text("a file")
    assert atomic._exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one").read_text() == "a file" and (tmp_path / "other").is_dir()
    assert not atomic._exchange(tmp_path / "one", tmp_path / "nothing")


def test_while_a_folder_is_written_the_old_one_stands(tmp_path: Path) -> None:
    write(tmp_path / "model", "old")
    with atomic_folder(tmp_path / "model") as fresh:
        assert list(fresh.iterdir()) == []
        (fresh / "file").touch()
        assert versions(tmp_path / "model") == {"old"}
    assert os.listdir(tmp_path / "model") == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_ones_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "model", "old")
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), atomic_folder(tmp_path / "model") as fresh:
        (fresh / "file").touch()
        raise error
    with pytest.raises(error), atomic_file(tmp_path / "file") as fresh:
        fresh.write_text("new")
        raise error
    assert versions(tmp_path / "model") == {"old"}
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["file", "model"]


def test_an_exception_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    for make in (atomic_file, atomic_folder):
        with pytest.raises(ValueError), make(tmp_path / "new"):
            raise ValueError
    assert os.listdir(tmp_path) == []


def test_a_file_is_new_or_replaced_and_keeps_the_end_of_its_name_while_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "above" / "file.gz"
    for version in ("1", "2"):
        with atomic_file(target) as fresh:
            assert fresh.suffix == ".gz"
            fresh.write_text(version)
        assert target.read_text() == version
        assert os.listdir(target.parent) == ["file.gz"]


def test_a_name_that_was_not_written_is_an_error_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "old"


def test_what_is_written_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain file").touch()
    (tmp_path / "plain folder").mkdir()
    with atomic_file(tmp_path / "file") as fresh:
        fresh.touch()
    write(tmp_path / "folder", "1")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    assert modes["file"] == modes["plain file"]
    assert modes["folder"] == modes["plain folder"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "model", "1")
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "model")
    (tmp_path / "file").symlink_to(tmp_path / "disk" / "file")
    write(tmp_path / "model", "2")
    with atomic_file(tmp_path / "file") as fresh:
        fresh.write_text("2")
    assert (tmp_path / "model").is_symlink() and (tmp_path / "file").is_symlink()
    assert versions(tmp_path / "disk" / "model") == {"2"}
    assert (tmp_path / "disk" / "file").read_text() == "2"
    assert sorted(os.listdir(tmp_path)) == ["disk", "file", "model"]


def test_a_link_to_nowhere_inside_a_folder_is_kept(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as fresh:
        (fresh / "link").symlink_to("nowhere")
    assert os.readlink(tmp_path / "model" / "link") == "nowhere"


def test_a_folder_does_not_take_the_place_of_a_file_nor_a_file_that_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    write(tmp_path / "folder", "old")
    with pytest.raises(FileExistsError, match="is a file, and a folder is to be written; choose another name"):
        write(tmp_path / "file", "new")
    with pytest.raises(IsADirectoryError), atomic_file(tmp_path / "folder") as fresh:
        fresh.touch()
    assert (tmp_path / "file").read_text() == "old" and versions(tmp_path / "folder") == {"old"}
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_without_replacing_the_first_one_stays(tmp_path: Path) -> None:
    write(tmp_path / "store", "1", replace=False)
    write(tmp_path / "store", "2", replace=False)
    assert versions(tmp_path / "store") == {"1"}
    with atomic_folder(tmp_path / "other", replace=False) as fresh:
        (fresh / "slow").touch()
        write(tmp_path / "other", "quick", replace=False)
    assert versions(tmp_path / "other") == {"quick"}
    assert sorted(os.listdir(tmp_path)) == ["other", "store"]


def test_nothing_stays_open(tmp_path: Path) -> None:
    def lowest_free() -> int:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        os.close(descriptor)
        return descriptor

    before = lowest_free()
    write(tmp_path / "model", "1")
    write(tmp_path / "model", "2")
    with atomic_file(tmp_path / "file") as fresh:
        fresh.touch()
    with pytest.raises(ValueError), atomic_file(tmp_path / "file"):
        raise ValueError
    assert lowest_free() == before


# Leftovers


def leftovers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


@contextmanager
def stopped_in_the_middle(kind: str, target: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is in the middle of writing until it is killed."""
    program = f"""
import sys, time
from convmodel.data.atomic import atomic_file, atomic_folder
with {kind}({str(target)!r}) as fresh:
    (fresh if {kind!r} == "atomic_file" else fresh / "file").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    arguments = [sys.executable, "-c", program]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock a folder")
@pytest.mark.parametrize("kind", ["atomic_file", "atomic_folder"])
def test_what_a_living_process_writes_stays_and_what_a_killed_one_left_goes(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"

    def write_target(text: str) -> None:
        if kind == "atomic_folder":
            write(target, text)
        else:
            with atomic_file(target) as fresh:
                fresh.write_text(text)

    with stopped_in_the_middle(kind, target) as process:
        [work] = leftovers(tmp_path)
        write_target("1")
        assert leftovers(tmp_path) == [work]
        process.kill()
        process.wait()
        assert leftovers(tmp_path) == [work]
        write_target("2")
        assert leftovers(tmp_path) == []
    assert (versions(target) if kind == "atomic_folder" else {target.read_text()}) == {"2"}


def test_leftovers_go_before_anything_new_is_written(tmp_path: Path) -> None:
    (tmp_path / ".model.new-0123456789ab" / "model").mkdir(parents=True)
    with pytest.raises(ValueError), atomic_folder(tmp_path / "model"):
        raise ValueError  # the disk is full
    assert os.listdir(tmp_path) == []


def test_only_what_bears_the_name_of_a_leftover_of_this_target_goes(tmp_path: Path) -> None:
    strangers = [
        ".model.new-0123456789abc",
        ".model.new-0123456789a",
        ".model.new-attempt",
        ".model.other-0123456789ab",
        ".modelXnew-0123456789ab",
        ".another.new-0123456789ab",
        "model.new-0123456789ab",
    ]
    for name in strangers:
        (tmp_path / name).mkdir()
    write(tmp_path / "model", "1")
    assert sorted(os.listdir(tmp_path)) == sorted([*strangers, "model"])


def test_an_old_version_that_was_moved_aside_goes_only_when_a_new_one_is_in_its_place(tmp_path: Path) -> None:
    write(tmp_path / "model", "1")
    (tmp_path / "model").rename(tmp_path / ".model.old-0123456789ab")
    with pytest.raises(ValueError), atomic_folder(tmp_path / "model"):
        raise ValueError
    assert versions(tmp_path / ".model.old-0123456789ab") == {"1"}
    write(tmp_path / "model", "2")
    write(tmp_path / "model", "3")
    assert os.listdir(tmp_path) == ["model"]


def test_a_place_that_another_takes_for_a_leftover_before_it_is_locked_is_left_for_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def late(folder: Path, *, wait: bool = False) -> AbstractContextManager[bool]:
        if not taken:
            taken.append(folder)
            shutil.rmtree(folder)
        return file_lock(folder, wait=wait)

    monkeypatch.setattr(atomic, "file_lock", late)
    write(tmp_path / "model", "1")
    assert len(taken) == 1
    assert versions(tmp_path / "model") == {"1"}


def test_where_nothing_can_be_locked_leftovers_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".model.new-0123456789ab").mkdir()
    monkeypatch.setattr(atomic, "file_lock", lambda folder, wait=False: nullcontext(False))
    write(tmp_path / "model", "1")
    assert sorted(os.listdir(tmp_path)) == [".model.new-0123456789ab", "model"]


def test_several_may_write_the_same_folder_at_the_same_time(tmp_path: Path) -> None:
    def often(version: str) -> None:
        for _ in range(15):
            write(tmp_path / "model", version)

    with ThreadPoolExecutor() as pool:
        list(pool.map(often, "abc"))
    assert len(versions(tmp_path / "model")) == 1
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_held_by_one_block_at_a_time(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    (path.touch if kind == "file" else path.mkdir)()
    with file_lock(path) as locked:
        assert locked
        with pytest.raises(ValueError, match="come back later"), file_lock(path, busy="come back later"):
            pass
    with file_lock(path, wait=True) as locked:
        assert locked


def test_a_lock_makes_no_file(tmp_path: Path) -> None:
    if sys.platform != "win32":
        with pytest.raises(FileNotFoundError), file_lock(tmp_path / "missing"):
            pass
    assert os.listdir(tmp_path) == []


UNWRITABLE = Path("/proc")
"""A folder in which nobody, not even root, can create a file."""


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (".", IsADirectoryError, r"\.: is a folder; give the name of a file"),
        ("no/out", FileNotFoundError, "no/out: there is no folder .*/no; make it first"),
        ("file/out", FileNotFoundError, "file/out: there is no folder .*/file; make it first"),
        (os.devnull, ValueError, "is a pipe or a device; give the name of a file"),
        (UNWRITABLE / "out", PermissionError, "out: cannot be written .*make the folder .* writable, or choose"),
    ],
)
@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="needs /proc")
def test_a_file_that_cannot_be_written_is_refused(
    path: str | Path, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(error, match=message):
        check_file_writable(path)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("file", FileExistsError, "^file: is a file, and a folder is to be written"),
        ("file/deep/out", FileExistsError, "^file/deep/out: .*/file: is a file, and a folder is to be written"),
        (UNWRITABLE / "out", PermissionError, "out: cannot be written"),
    ],
)
@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="needs /proc")
def test_a_folder_that_cannot_be_written_is_refused(
    path: str | Path, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for replaced in (False, True):
        with pytest.raises(error, match=message):
            check_folder_writable(path, replaced=replaced)


def test_checks_of_writable_paths_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for path in (tmp_path / "old", tmp_path / "new" / "deep"):
        check_folder_writable(path, replaced=True)
    check_file_writable(tmp_path / "old" / "file")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_lock_tells_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_lock(path, busy="unused"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with (
            pytest.raises(ValueError, match=f"^held by process {os.getpid()}$"),
            process_lock(path, busy="held by {holder}"),
        ):
            pass
    assert path.read_text() == ""
    with (
        file_lock(path),
        pytest.raises(ValueError, match="held by another process"),
        process_lock(path, busy="held by {holder}"),
    ):
        pass
    with process_lock(path, busy="unused"):  # free again
        pass
