"""A folder of hand-written parts in, the turns of a conversation out; knows nothing of JSON files.

A part is a text file about one topic, written to be read:

    next: weather food           topics that may follow; also `greeting:`, `goodbye:` and `weight:`

    = pet | eats                 a table: drawing `{pet}` fixes the row, so that `{eats}` fits it ever after
    dog | meat
    cat | fish

    [start] -> ask*3 tell        a state and what may follow it, here `ask` three times in four

    [ask] -> yes                 a state with wordings is a turn; one without is a crossroads
    Do you have (a pet|any pets)?

    [yes] -> end
    Yes, I have {a pet}.         `{a pet}`: with its article. `{Pet}`: capitalised. `{pet2}`: another one

The two speakers take turns from state to state until `end`. Every topic also has the tables and states of
`shared.txt`, whose tables are drawn once for the whole conversation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SLOT = re.compile(r"\{(?P<article>[Aa] )?(?P<column>[A-Za-z_]+)(?P<number>\d?)\}")
CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
FIRST_SENTENCE = re.compile(r"[^.!?]+[.!?] ")
OPENING = "{opening}"
OPTION = re.compile(r"(next|greeting|goodbye|weight): (.*)")
ENTRIES = {"start", "closing", "persona", "meta", "hello", "ask", "say"}
STATE = re.compile(r"\[(\w+)\] -> (.+)")


@dataclass(frozen=True)
class State:
    wordings: tuple[str, ...]
    next: tuple[str, ...]
    """Names of the states that may follow; one that stands twice is twice as likely."""


@dataclass(frozen=True)
class Table:
    owner: str
    """The topic that the table belongs to: `shared` rows hold for the whole conversation."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Topic:
    name: str
    states: dict[str, State]
    tables: dict[str, Table]
    """One entry per column."""
    next: tuple[str, ...]
    greeting: str
    """`yes`: may follow a greeting; `brief`: may follow a bare "Hi!"; `no`: has a beginning of its own."""
    goodbye: bool
    weight: float


class Dice:
    """Draws from one seed. Only `Random.random` is promised to stay the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def pick_weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        rest = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            rest -= weight
            if rest < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(int(self._random() * len(left))) for _ in items]


@dataclass
class Scene:
    """One conversation while it is drawn: what has been said, and which rows it has fixed."""

    dice: Dice
    turns: list[str] = field(default_factory=list)
    _rows: dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]] = field(default_factory=dict)

    def play(self, topic: Topic, *, start: str = "start", leads: Topic | None = None) -> None:
        """Appends the turns of one walk through `topic`. leads: what may stand before its first turn."""
        name = start
        while name != "end":
            state = topic.states[name]
            if state.wordings:
                self.turns.append(self._new(topic, state, leads))
                leads = None
            name = self.dice.pick(state.next)

    def say(self, topic: Topic, name: str) -> str:
        """One filled wording of a state, which is not added to the turns."""
        return self._fill(topic, self.dice.pick(topic.states[name].wordings))

    def _new(self, topic: Topic, state: State, leads: Topic | None) -> str:
        """A turn that nobody has said before, where the state has one."""
        # People type carelessly at the beginning; later in a conversation it would only look like a mistake.
        wordings = [w for w in state.wordings if not (self.turns or leads) or not _is_careless(w)]
        text = ""
        for _ in range(6):
            text = self._fill(topic, self.dice.pick(wordings))
            if leads:
                text = self._lead(leads, text)
            if not self._is_stale(text):
                break
        return text

    def _is_stale(self, text: str) -> bool:
        """Whether somebody has said this already, or began a turn with the same sentence."""
        first = FIRST_SENTENCE.match(text)
        return text in self.turns or (first is not None and self._began_with(first[0]))

    def _began_with(self, beginning: str) -> bool:
        return any(turn.startswith(beginning) for turn in self.turns)

    def _lead(self, leads: Topic, opening: str) -> str:
        """The opening after "By the way," and the like, which nobody says twice."""
        question = opening.endswith(("?", "か。"))
        wordings = leads.states[("ask" if question else "say") if self.turns else "hello"].wordings
        fresh = [lead for lead in wordings if not self._began_with(lead.removesuffix(OPENING))]
        return _join(self.dice.pick(fresh), opening) if fresh else opening

    def _fill(self, topic: Topic, wording: str) -> str:
        wording = CHOICE.sub(lambda match: self.dice.pick(match[1].split("|")), wording)
        return SLOT.sub(lambda match: self._value(topic, match), wording)

    def _value(self, topic: Topic, match: re.Match[str]) -> str:
        column = match["column"].lower()
        table = topic.tables[column]
        rows = self._rows.setdefault((table.owner, table.columns), [])
        while len(rows) < int(match["number"] or 1):
            taken = {row[0] for row in rows}
            rows.append(self.dice.pick([row for row in table.rows if row[0] not in taken]))
        value = rows[int(match["number"] or 1) - 1][table.columns.index(column)]
        if match["article"]:
            value = ("an " if value[0] in "aeiou" else "a ") + value
        capital = (match["article"] or match["column"])[0].isupper()
        return value[0].upper() + value[1:] if capital else value


def read_topics(folder: Path, *, shared: Path) -> dict[str, Topic]:
    """The topics of a folder by name, each with the tables and states of the file `shared`."""
    common = _read_topic(shared, None)
    paths = sorted(folder.glob("*.txt"), key=lambda path: path.name)
    return {path.stem: _read_topic(path, common) for path in paths if path != shared}


def _read_topic(path: Path, common: Topic | None) -> Topic:
    states = dict(common.states) if common else {}
    tables = dict(common.tables) if common else {}
    options = {"next": "", "greeting": "yes", "goodbye": "yes", "weight": "1"}
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", text.strip()):
        head, *lines = block.splitlines()
        if head.startswith("= "):
            table = _read_table(path.stem, head, lines)
            tables.update(dict.fromkeys(table.columns, table))
        elif state := STATE.fullmatch(head):
            states[state[1]] = State(tuple(lines), _read_next(state[2]))
        else:
            options.update(_read_options(path, [head, *lines]))
    topic = Topic(
        name=path.stem,
        states=states,
        tables=tables,
        next=tuple(options["next"].split()),
        greeting=options["greeting"],
        goodbye=options["goodbye"] == "yes",
        weight=float(options["weight"]),
    )
    _check(topic, common)
    return topic


def _read_table(owner: str, head: str, lines: list[str]) -> Table:
    cells = [[cell.strip() for cell in line.split("|")] for line in [head.removeprefix("= "), *lines]]
    columns, *rows = map(tuple, cells)
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{owner}: {row} has {len(row)} cells; the table needs {len(columns)}: {columns}")
    return Table(owner, columns, tuple(rows))


def _read_next(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for word in text.split():
        name, _, times = word.partition("*")
        names += [name] * int(times or 1)
    return tuple(names)


def _read_options(path: Path, lines: list[str]) -> dict[str, str]:
    options = {}
    for line in filter(None, lines):
        match = OPTION.fullmatch(line)
        if not match:
            raise ValueError(f"{path}: {line!r} is no option, and stands in no table and under no state")
        options[match[1]] = match[2]
    return options


def _check(topic: Topic, common: Topic | None) -> None:
    """Raises: ValueError when a state or a table is missing, or when nothing leads to a state."""
    known = common.states if common else {}
    reached = {name for state in topic.states.values() for name in state.next} | ENTRIES
    for name in topic.states.keys() - known.keys():
        state = topic.states[name]
        slots = {slot["column"].lower() for wording in state.wordings for slot in SLOT.finditer(wording)}
        missing = sorted({*state.next, *slots} - {"end", "opening", *topic.states, *topic.tables})
        if missing:
            raise ValueError(f"{topic.name}: [{name}] needs {missing}; write these states or tables")
        if common and name not in reached:
            raise ValueError(f"{topic.name}: nothing leads to [{name}]; name it elsewhere, or remove it")


def _is_careless(wording: str) -> bool:
    return wording[0].islower() or wording[-1] not in '.?!。"'


def _join(lead: str, opening: str) -> str:
    starts_a_sentence = lead.removesuffix(OPENING).rstrip().endswith((".", "!", "?"))
    if not starts_a_sentence and not re.match(r"I\b", opening):
        opening = opening[0].lower() + opening[1:]
    return lead.replace(OPENING, opening)
