"""Folders in which the package keeps files of the user outside of the working directory."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of cached tokens and vocabularies: `$CONVMODEL_CACHE`, or `~/.cache/convmodel`."""
    return Path(os.environ.get("CONVMODEL_CACHE") or Path.home() / ".cache" / "convmodel")


def state_folder() -> Path:
    """Return the folder of the chat's history: `convmodel` in `$XDG_STATE_HOME`, or in `~/.local/state`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "convmodel"
