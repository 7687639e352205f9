"""Print messages above the training progress bar."""

from pytorch_lightning import Trainer


def show(trainer: Trainer, text: str) -> None:
    """Print a text without breaking the progress bar, if one is shown."""
    bar = trainer.progress_bar_callback
    (bar.print if bar is not None and getattr(bar, "is_enabled", False) else print)(text)
