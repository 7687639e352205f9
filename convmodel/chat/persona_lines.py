"""A text in, the sentences about the one who replies with which it begins, ParlAI's way, and the rest of it out."""

import re

_LINE = re.compile(r"\s*your persona:(.*)", re.IGNORECASE)
"""As ParlAI's PersonaChat lays out a context: "your" is the model's."""


def persona_lines(text: str) -> tuple[list[str], str]:
    """Splits off leading lines such as `your persona: I like rain.`

    Raises:
        ValueError: for one without a sentence.
    """
    lines = text.split("\n")
    sentences: list[str] = []
    for number, line in enumerate(lines):
        found = _LINE.fullmatch(line.rstrip("\r"))
        if not found:
            return sentences, "\n".join(lines[number:])
        if not found[1].strip():
            raise ValueError("there is no sentence after 'your persona:'; write your persona: I like rain.")
        sentences.append(found[1].strip())
    return sentences, ""
