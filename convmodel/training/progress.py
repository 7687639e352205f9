"""Text in; it stands above the progress bar of training."""

from pytorch_lightning import Trainer


def show(trainer: Trainer, text: str) -> None:
    """Prints a text without breaking the progress bar, where there is one."""
    bar = trainer.progress_bar_callback
    (bar.print if bar is not None and getattr(bar, "is_enabled", False) else print)(text)
