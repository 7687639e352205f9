"""Resumable output of a batch job: the output file appears only when complete, and a killed job can be continued."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from convmodel.data.atomic import atomic_file, check_file_writable, file_lock, flush

_SYNC_SECONDS = 2.0


class Journal:
    """Writes lines to OUTPUT.partial, which is renamed to OUTPUT when it is complete.

    OUTPUT.about.json has the settings of the job and is kept. A run continues an output only if the settings are equal.

    Args:
        file: the open OUTPUT.partial; None if the output is complete already.
        done: number of lines that an earlier run had written.
    """

    def __init__(self, output: Path, file: BinaryIO | None, done: int) -> None:
        self._output = output
        self._file = file
        self.done = done
        self.complete = file is None
        self._synced = time.monotonic()

    def add(self, line: str) -> None:
        """Write a line. It is not lost if the process is killed, nor, after a few seconds, by a power failure."""
        assert self._file is not None
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def finish(self) -> None:
        """Rename the file to its final name."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(partial(self._output), self._output)
            flush(self._output.parent)


def partial(output: Path) -> Path:
    """Return the path of the file that contains the lines until the output is complete."""
    return output.with_name(output.name + ".partial")


@contextlib.contextmanager
def open_journal(output: Path, about: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Journal]:
    """Open a new journal of an output, or the journal of an earlier run.

    Args:
        about: settings of the lines, as JSON. The entry "named" is stored but not compared.
        overwrite: whether to start over if there is an output.

    Raises:
        ValueError: for an existing output, complete or partial, with other settings or open in another process.
        OSError: when the output cannot be written.
    """
    check_output(output)
    output = Path(os.path.realpath(output))  # so that a symbolic link is kept
    unfinished = partial(output)
    settings_file = output.with_name(output.name + ".about.json")
    about = json.loads(json.dumps(about))
    previous = _read_object(settings_file.read_bytes()) if settings_file.exists() and not overwrite else None
    difference = _describe_difference(previous, about)
    if output.exists() and not overwrite:
        if difference:
            raise ValueError(f"{output}: is there already, made in another way; remove it, or start over (--overwrite)")
        if not unfinished.exists():
            yield Journal(output, None, 0)
            return
    busy = f"{unfinished}: another process is writing it; wait for its end, or give another name"
    with open(unfinished, "ab+") as file, file_lock(unfinished, busy=busy):
        if overwrite:
            settings_file.unlink(missing_ok=True)
            file.truncate(0)
        if os.fstat(file.fileno()).st_size and difference:
            raise ValueError(
                f"{unfinished}: was begun with {difference}; go on as it was begun, remove it, or start over "
                "(--overwrite)"
            )
        if difference:
            with atomic_file(settings_file) as temporary:
                temporary.write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        yield Journal(output, file, _repair(file))


def check_output(output: Path) -> None:
    """Raise ValueError or OSError when lines cannot be written to this path."""
    check_file_writable(output)
    if output.suffix == ".gz":
        raise ValueError(f"{output}: lines are not written gzipped; leave .gz out and pack the file afterwards")


def _repair(file: BinaryIO) -> int:
    """Cut off a line that a kill or a power failure left incomplete; return the number of lines before it."""
    file.seek(0)
    count = 0
    size = 0
    for line in file:
        if not line.endswith(b"\n") or _read_object(line) is None:
            break
        count += 1
        size += len(line)
    file.truncate(size)
    file.seek(size)
    return count


def _read_object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _differing_names(previous: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    return [name for name in {**previous, **about} if name != "named" and previous.get(name) != about.get(name)]


def _describe_difference(previous: Mapping[str, Any] | None, about: Mapping[str, Any]) -> str:
    """Return a description of the settings that differ; empty if they are equal."""
    if previous is None:
        return "unknown settings"
    names = _differing_names(previous, about)
    if names == ["options"]:  # name the options that differ, too
        names = _differing_names(previous["options"], about["options"])
    return f"another {' and another '.join(names)}" if names else ""
