"""JSON files of models, indexes and reports that hold one object, and errors that say what is wrong with a file."""

import json
import os
from pathlib import Path
from typing import Any

LFS_POINTER = b"version https://git-lfs"
"""The beginning of the small text that Git stores in place of a large file."""

LFS_FAULT = (
    "a pointer of Git LFS, not the file that it stands for; run git lfs pull in its folder, or download the file again"
)

COPY_AGAIN = "copy or download it again"


def read_json_object(path: str | os.PathLike[str], *, remedy: str = COPY_AGAIN) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Args:
        path: the file.
        remedy: the remedy, with which error messages end.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is a folder, a pointer of Git LFS, empty, not UTF-8, not JSON, or holds another value.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{file}: is a folder, not a file; {remedy}")
    if not file.is_file():
        raise FileNotFoundError(f"{file}: is missing; {remedy}")
    refuse_lfs_pointer(file)
    try:
        text = file.read_text(encoding="utf-8")
        value = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 (byte {error.start + 1}); {remedy}") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ValueError(f"{file}: is empty; {remedy}") from None
        place = (
            f"{error.msg}, column {error.colno}" if text[: error.pos].strip() else f"it begins {text.strip()[:40]!r}"
        )
        raise ValueError(f"{file}:{error.lineno}: is not JSON ({place}); {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is not JSON that can be read ({error}); {remedy}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file}: holds {text.strip()[:40]!r}, not an object {{...}}; {remedy}")
    return value


def refuse_lfs_pointer(path: str | os.PathLike[str]) -> None:
    """Raise ValueError when a file is a pointer of Git LFS in place of the contents. A missing file is not an error."""
    file = Path(path)
    if not file.is_file():
        return
    with open(file, "rb") as opened:
        is_pointer = opened.read(len(LFS_POINTER)) == LFS_POINTER
    if is_pointer and file.stat().st_size < 1024:
        raise ValueError(f"{file}: is {LFS_FAULT}")
