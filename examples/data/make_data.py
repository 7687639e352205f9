"""Hand-written parts in, train.jsonl, valid.jsonl and test.jsonl out: everyday conversations to learn from.

python examples/data/make_data.py                    # beside this file
python examples/data/make_data.py --output folder    # elsewhere
python examples/data/make_data.py --counts           # only the table of counts that the README shows
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grammar import Dice, Scene, Topic, read_topics

HERE = Path(__file__).parent
PARTS = HERE / "parts"
SEED = 20240229
COUNT = 9000
MAX_TURNS = 12
SPLITS = ("train",) * 16 + ("valid", "test")
"""Of every 18 conversations, 16 go to train and one to each of the others, so that all three are alike."""

SHARES = {"english": 0.793, "japanese": 0.072, "persona": 0.135}

SMALL = ("greetings", "introductions", "courtesy", "farewell")
"""Topics that newcomers type first and that are short; more than their weight would give."""


@dataclass(frozen=True)
class Conversation:
    turns: tuple[str, ...]
    persona: tuple[str, ...] = ()
    """Sentences about the speaker of the last turn."""
    language: str = "English"

    def to_json(self) -> str:
        record = {"persona": self.persona, "turns": self.turns} if self.persona else {"turns": self.turns}
        return json.dumps(record, ensure_ascii=False)


@dataclass(frozen=True)
class Book:
    """All that can be said in one language."""

    language: str
    topics: dict[str, Topic]
    leads: Topic

    @classmethod
    def read(cls, language: str) -> Book:
        folder = PARTS / language.lower()
        topics = read_topics(folder, shared=folder / "shared.txt")
        return cls(language, topics, topics.pop("leads"))


def draw(*, seed: int = SEED, count: int = COUNT) -> Iterator[tuple[str, Conversation]]:
    """Yields `count` topics with a conversation. No two have the same turns, upper and lower case aside."""
    dice = Dice(seed)
    english, japanese = Book.read("English"), Book.read("Japanese")
    facts = read_topics(PARTS / "persona", shared=PARTS / "english" / "shared.txt")
    seen: set[tuple[str, ...]] = set()
    while len(seen) < count:
        kind = dice.pick_weighted(list(SHARES), list(SHARES.values()))
        # What is too long or has been said already is drawn again, but of the same kind: the shares stay.
        while True:
            if kind == "persona":
                topic, conversation = _with_persona(dice, english, facts)
            else:
                topic, conversation = _about_topics(dice, japanese if kind == "japanese" else english)
            key = tuple(turn.casefold() for turn in conversation.turns)
            if 2 <= len(key) <= MAX_TURNS and key not in seen:
                break
        seen.add(key)
        yield topic, conversation


def _about_topics(dice: Dice, book: Book) -> tuple[str, Conversation]:
    """A greeting, one or two topics and a goodbye, all but the first topic now and then."""
    scene = Scene(dice)
    topic = _pick_topic(dice, book)
    _begin(scene, book, topic)
    scene.play(topic, leads=_leads(scene, book, topic))
    if topic.next and dice.chance(0.15):
        second = book.topics[dice.pick(topic.next)]
        scene.play(second, leads=_leads(scene, book, second))
    if topic.goodbye and dice.chance(0.2):
        scene.play(book.topics["farewell"], start="closing")
    return topic.name, Conversation(tuple(scene.turns), language=book.language)


def _with_persona(dice: Dice, book: Book, facts: dict[str, Topic]) -> tuple[str, Conversation]:
    """One speaker asks about what the persona of the other tells, and the other has the last word."""
    while True:
        scene = Scene(dice)
        known = dice.shuffled(list(facts.values()))[: dice.pick([1, 2, 2, 3, 3])]
        persona = tuple(scene.say(fact, "persona") for fact in known)
        asked = dice.shuffled(known)[: dice.pick([1, 2, 2, 3])]
        _begin(scene, book, asked[0])
        for fact in asked:
            scene.play(fact, leads=_leads(scene, book, fact))
        if dice.chance(0.2):
            scene.play(book.topics["farewell"], start="closing")
        # Everything but a greeting has an even number of turns.
        if len(scene.turns) % 2 == 0:
            return "persona", Conversation(tuple(scene.turns), persona, book.language)


def _pick_topic(dice: Dice, book: Book) -> Topic:
    small = [topic for topic in book.topics.values() if topic.name in SMALL]
    large = [topic for topic in book.topics.values() if topic.name not in SMALL]
    topics = small if dice.chance(0.2) else large
    return dice.pick_weighted(topics, [topic.weight for topic in topics])


def _begin(scene: Scene, book: Book, topic: Topic) -> None:
    if topic.greeting == "yes" and scene.dice.chance(0.4):
        scene.play(book.topics["greetings"])


def _leads(scene: Scene, book: Book, topic: Topic) -> Topic | None:
    """What may stand before the first turn of a topic, which is often nothing."""
    return book.leads if topic.greeting != "no" and scene.dice.chance(0.4) else None


def write(folder: Path) -> None:
    """Writes the three files. Their bytes depend on the parts and on this code only."""
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, (_, conversation) in enumerate(draw()):
        lines[SPLITS[number % len(SPLITS)]].append(conversation.to_json() + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for split, texts in lines.items():
        (folder / f"{split}.jsonl").write_bytes("".join(texts).encode("utf-8"))


def counts(drawn: Iterable[tuple[str, Conversation]]) -> str:
    """Conversations per topic and language, as a Markdown table."""
    found = Counter((topic, conversation.language) for topic, conversation in drawn)
    rows = ["| topic | English | Japanese |", "| --- | ---: | ---: |"]
    for topic in sorted({topic for topic, _ in found}):
        rows.append(f"| {topic} | {found[topic, 'English']} | {found[topic, 'Japanese'] or ''} |")
    total: Counter[str] = Counter()
    for (_, language), number in found.items():
        total[language] += number
    return "\n".join([*rows, f"| **all** | **{total['English']}** | **{total['Japanese']}** |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the three files")
    parser.add_argument("--counts", action="store_true", help="print the counts per topic and write nothing")
    arguments = parser.parse_args()
    if arguments.counts:
        print(counts(draw()))
    else:
        write(arguments.output)


if __name__ == "__main__":
    main()
