"""Lines in order in, a file that is whole or not there out; what a killed process wrote counts."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from convmodel.data.atomic import atomic_file, file_lock

_SYNC_SECONDS = 2.0


class Journal:
    """Writes lines to OUTPUT.partial, which becomes OUTPUT when it is complete.

    OUTPUT.about.json says how the lines are made, and stays: lines are only added to those made in the same way.

    Args:
        done: how many lines were there already.
        complete: whether the whole file was there already.
    """

    def __init__(self, output: Path, file: BinaryIO | None, done: int) -> None:
        self._output, self._file = output, file
        self.done = done
        self.complete = file is None
        self._synced = time.monotonic()

    def add(self, line: str) -> None:
        """Writes a line: from now on no kill loses it, and some seconds later no power cut."""
        assert self._file is not None
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def finish(self) -> None:
        """Puts the file in its place."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(partial(self._output), self._output)
            _sync_folder(self._output.parent)


def partial(output: Path) -> Path:
    """Where the lines are until all are there."""
    return output.with_name(output.name + ".partial")


def about_file(output: Path) -> Path:
    """Where it stands how the lines are made."""
    return output.with_name(output.name + ".about.json")


@contextlib.contextmanager
def open_journal(output: Path, about: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Journal]:
    """Opens the journal of an output: a new one, or one to go on with.

    Args:
        output: the file to be.
        about: how its lines are made, as JSON. What stands under "named" is only written, not compared.
        overwrite: start over, whatever is there.

    Raises:
        ValueError: when there is an output, or a part of one, that was made in another way, or somebody writes it.
        FileNotFoundError: when there is no such folder.
    """
    output = Path(os.path.realpath(output))  # a link stays a link
    _check_place(output)
    work, kept = partial(output), about_file(output)
    about = json.loads(json.dumps(about))
    before = None if overwrite else _read_about(kept)
    if output.exists() and not overwrite:
        if not _same(before, about):
            raise ValueError(f"{output}: is there already, made in another way; remove it, or start over (--overwrite)")
        if not work.exists():
            yield Journal(output, None, 0)
            return
    busy = f"{work}: another process is writing it; wait for its end, or give another name"
    with open(work, "ab+") as file, file_lock(work, busy=busy):
        if overwrite:
            kept.unlink(missing_ok=True)
            file.truncate(0)
        if os.fstat(file.fileno()).st_size and not _same(before, about):
            raise ValueError(
                f"{work}: was begun with {_difference(before, about)}; go on as it was begun, remove it, or start over "
                "(--overwrite)"
            )
        if not _same(before, about):
            _write_about(kept, about)
        yield Journal(output, file, _repair(file))


def _check_place(output: Path) -> None:
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output}: there is no folder {output.parent}; make it first")
    if output.is_dir():
        raise IsADirectoryError(f"{output}: is a folder; give the name of a file")
    if output.suffix == ".gz":
        raise ValueError(f"{output}: lines are not written gzipped; leave .gz out and pack the file afterwards")


def _repair(file: BinaryIO) -> int:
    """Cuts off what a kill or a power cut left of a line, and counts the lines before it."""
    file.seek(0)
    done = whole = 0
    for line in file:
        if not line.endswith(b"\n") or not _is_json(line):
            break
        done, whole = done + 1, whole + len(line)
    file.truncate(whole)
    file.seek(whole)
    return done


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _read_about(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_about(path: Path, about: Mapping[str, Any]) -> None:
    with atomic_file(path) as fresh:
        fresh.write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _same(before: Mapping[str, Any] | None, about: Mapping[str, Any]) -> bool:
    return before is not None and not _differing(before, about)


def _differing(before: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    return [name for name in {**before, **about} if name != "named" and before.get(name) != about.get(name)]


def _difference(before: Mapping[str, Any] | None, about: Mapping[str, Any]) -> str:
    if before is None:
        return "settings that are not known any more"
    names = _differing(before, about)
    if names == ["options"]:  # the usual case deserves more
        names = _differing(before["options"], about["options"])
    return f"another {' and another '.join(names)}"


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
