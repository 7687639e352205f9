"""Folders of models in, transcripts of ten turns each out, as Markdown; nothing is chosen or left out."""

from collections.abc import Mapping
from typing import Any

from benchmarks.quality import SAID, transcript
from convmodel.models.conversation_model import ConversationModel

MORE = (
    ("What was it about?", "Would you watch it again?"),
    ("Do you play an instrument?", "Which song should I listen to tonight?"),
    ("Who is your favorite player?", "Do you want to go to a game with me?"),
)
"""What a person says after the lines of the quality benchmark, so that each talk has ten turns."""


def transcripts(folders: Mapping[str, str], *, smoke: bool) -> tuple[dict[str, Any], str]:
    """Return the turns of each model by its name, and all of them as Markdown."""
    options = {"max_new_tokens": 4} if smoke else {}
    talks: dict[str, Any] = {}
    for name, folder in folders.items():
        model = ConversationModel.from_pretrained(folder, "cpu", "float32")
        talks[name] = [transcript(model, [*said, *more], **options) for said, more in zip(SAID, MORE, strict=True)]
    return talks, "\n\n".join(_section(name, found) for name, found in talks.items())


def _section(name: str, talks: list[list[str]]) -> str:
    lines = [f"### {name}"]
    for talk in talks:
        speakers = ("you", "model")
        lines.append("\n".join(f"- **{speakers[n % 2]}**: {' '.join(turn.split())}" for n, turn in enumerate(talk)))
        lines.append("---")
    return "\n\n".join(lines[:-1])
