"""A stdin with text in it, and options that select models."""

import io


class Stdin(io.TextIOWrapper):
    """A pipe with something in it."""

    def __init__(self, text: str) -> None:
        super().__init__(io.BytesIO(text.encode()))


CHOSEN = ["--selector", "chooser", "--candidates", "list.txt"]


VARIED = ["max_new_tokens=6", "min_new_tokens=4", "temperature=2.0", "top_k=0", "do_sample=true"]


WRITTEN = ["--model", "model", *(part for setting in VARIED for part in ("--set", setting))]
