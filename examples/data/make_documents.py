"""Hand-written parts in, documents-train.jsonl, -valid and -test out: little texts, and what they are about.

python examples/data/make_documents.py                    # beside this file
python examples/data/make_documents.py --output folder    # elsewhere
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from grammar import Dice, Scene, Topic, read_topics

HERE = Path(__file__).parent
PARTS = HERE / "parts" / "documents"
SEED = 20240301
COUNT = 1800
SPLITS = ("train",) * 16 + ("valid", "test")
"""Of every 18 documents, 16 go to train and one to each of the others, so that all three are alike."""

WITHOUT_META = 1 / 12
KIND_ALONE = 1 / 4
PARAGRAPH = " ¶ "
"""Where a sentence begins a new line."""


def draw(*, seed: int = SEED, count: int = COUNT) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields `count` times a kind and a document of it, no two with the same body; all kinds are equally frequent."""
    dice = Dice(seed)
    kinds = read_topics(PARTS, shared=PARTS / "shared.txt")
    names = list(kinds)
    seen: set[str] = set()
    while len(seen) < count:
        kind = names[len(seen) % len(names)]
        document = _document(dice, kinds[kind])
        if document["body"] not in seen:
            seen.add(str(document["body"]))
            yield kind, document


def _document(dice: Dice, kind: Topic) -> dict[str, object]:
    """What it is about, and its kind; and a walk through the sentences of the kind."""
    scene = Scene(dice)
    about = scene.say(kind, "meta").split(", ")
    scene.play(kind)
    body = " ".join(scene.turns).replace(PARAGRAPH, "\n")
    if dice.chance(WITHOUT_META):
        return {"body": body}
    return {"body": body, "meta": [kind.name] if dice.chance(KIND_ALONE) else [*about, kind.name]}


def write(folder: Path) -> None:
    """Writes the three files. Their bytes depend on the parts and on this code only."""
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    dice = Dice(SEED)
    for number, (_, document) in enumerate(dice.shuffled(list(draw()))):
        lines[SPLITS[number % len(SPLITS)]].append(json.dumps(document, ensure_ascii=False) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for split, texts in lines.items():
        (folder / f"documents-{split}.jsonl").write_bytes("".join(texts).encode("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the three files")
    write(parser.parse_args().output)


if __name__ == "__main__":
    main()
