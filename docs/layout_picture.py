"""A conversation in, the picture of its layout out: writes docs/layout.svg from what the tokenizer gives.

python docs/layout_picture.py
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence
from convmodel.tokens.separator_layout import SeparatorLayout

PERSONA = ["I am Ann"]
TURNS = ["Hello", "How are you", "Fine thanks"]
CELL, GAP, LEFT, TOP = 62, 4, 132, 58
COLOURS = ("#dbe9f6", "#fde3c8")
"""Of the speakers of type 0 and of type 1; both readable under black, and told by their numbers too."""


def laid_out() -> tuple[list[str], ConversationSequence]:
    """The words of the picture's conversation, and its layout with one token a word, the last turn predicted."""
    words = ["<sep>"]

    def encode(text: str) -> list[int]:
        start = len(words)
        words.extend(text.split())
        return list(range(start, len(words)))

    persona, turns = [encode(text) for text in PERSONA], [encode(text) for text in TURNS]
    predicted = [False] * (len(turns) - 1) + [True]
    # The persona is that of the one who says the last turn.
    sequences = SeparatorLayout(0).lay_out(turns, persona=persona, last_is_reply=True, predicted=predicted)
    return words, sequences


def picture() -> str:
    """The SVG."""
    words, sequences = laid_out()
    count = len(sequences.input_ids)
    width, height = LEFT + count * CELL + 12, TOP + 3 * 44 + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="14" role="img" aria-label="The layout of a conversation">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    parts += _braces()
    rows = {
        "tokens": [words[i] for i in sequences.input_ids],
        "token_type_ids": [str(t) for t in sequences.token_type_ids],
        "labels": ["·" if label == IGNORED else words[label] for label in sequences.labels],
    }
    for number, (name, cells) in enumerate(rows.items()):
        y = TOP + number * 44
        parts.append(f'<text x="8" y="{y + 24}" font-weight="600">{name}</text>')
        for place, (cell, kind) in enumerate(zip(cells, sequences.token_type_ids, strict=True)):
            x = LEFT + place * CELL
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL - GAP}" height="36" rx="4" fill="{COLOURS[kind]}"/>')
            middle = x + (CELL - GAP) / 2
            parts.append(f'<text x="{middle:g}" y="{y + 23}" text-anchor="middle" fill="#111">{escape(cell)}</text>')
    note = "Labels stand where transformers expects them and are shifted inside it; · is -100, not predicted."
    parts.append(f'<text x="{LEFT}" y="{height - 16}" fill="#444">{note}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _braces() -> Iterable[str]:
    """What each run of tokens is, above it."""
    place = 0
    names = ["persona"] * len(PERSONA) + [f"turn {n}" for n in range(1, len(TURNS))] + ["the reply"]
    for name, text in zip(names, [*PERSONA, *TURNS], strict=True):
        start, place = place + (name == "the reply"), place + 1 + len(text.split())
        x, stop = LEFT + start * CELL, LEFT + (place + (name == "the reply")) * CELL - GAP
        yield f'<path d="M{x} 50 v-8 H{stop} v8" fill="none" stroke="#666"/>'
        yield f'<text x="{(x + stop) / 2:g}" y="32" text-anchor="middle">{name}</text>'


if __name__ == "__main__":
    Path(__file__).with_name("layout.svg").write_text(picture(), encoding="utf-8")
