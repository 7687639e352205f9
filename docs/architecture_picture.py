"""Draw the ten rooms of the package: writes docs/architecture.svg.

python docs/architecture_picture.py
"""

from html import escape
from pathlib import Path

FLOORS = [
    [("cli", "commands, chat, bulk jobs")],
    [("reports", "evaluation, inspection"), ("serving", "HTTP, OpenAI API, store, safety, Telegram, page")],
    [("training", "Lightning modules, data modules, CLI"), ("responders", "context -> Reply: writer, chooser, hybrid")],
    [("models", "ConversationModel, DocumentModel, selection models, folders")],
    [("tokens", "conversation -> token ids -> windows -> batches")],
    [("data", "files -> conversations"), ("metrics", "pure functions"), ("generation", "engine, sampler, KV cache")],
]
"""Rooms from the top floor down, each with what it holds."""

WIDTH, HEIGHT, GAP, MARGIN = 760, 62, 14, 16
FILL, EDGE = "#dbe9f6", "#1f5fa8"


def picture() -> str:
    """Return the picture as SVG: one row for each floor, one box for each room."""
    total = 2 * MARGIN + len(FLOORS) * (HEIGHT + GAP) + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        'font-family="sans-serif" role="img" aria-label="The ten rooms of convmodel on six floors; a room imports only '
        'from lower floors.">',
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
    ]
    for row, rooms in enumerate(FLOORS):
        top = MARGIN + row * (HEIGHT + GAP)
        width = (WIDTH - 2 * MARGIN - (len(rooms) - 1) * GAP) / len(rooms)
        for column, (name, content) in enumerate(rooms):
            parts += _box(name, content, MARGIN + column * (width + GAP), top, width)
    note = "A room imports only from the floors below it. errors.py is below all."
    parts.append(f'<text x="{WIDTH / 2:g}" y="{total - MARGIN}" font-size="13" text-anchor="middle">{note}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(name: str, content: str, left: float, top: float, width: float) -> list[str]:
    middle = left + width / 2
    return [
        f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{HEIGHT}" rx="6" fill="{FILL}" stroke="{EDGE}"/>',
        f'<text x="{middle:g}" y="{top + 26}" font-size="16" font-weight="bold" text-anchor="middle">{name}</text>',
        f'<text x="{middle:g}" y="{top + 46}" font-size="12" text-anchor="middle">{escape(content)}</text>',
    ]


if __name__ == "__main__":
    Path(__file__).with_name("architecture.svg").write_text(picture(), encoding="utf-8")
