"""Places in which the package keeps files of the user outside of the working directory."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of cached tokens and vocabularies: `$CONVMODEL_CACHE`, or `~/.cache/convmodel`."""
    return Path(os.environ.get("CONVMODEL_CACHE") or Path.home() / ".cache" / "convmodel")


def chat_history() -> Path:
    """Return the file of what was typed in the chat, in `convmodel` in `$XDG_STATE_HOME` or `~/.local/state`."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "convmodel" / "chat_history"
