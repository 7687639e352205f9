"""What can be found in conversation files: the kinds, how bad each is, and what was found with examples."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from convmodel.reports.inspection.chunks import Chunk

Severity = Literal["problem", "remark"]

EXAMPLES = 5
"""Kept of each kind in each file."""


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        severity: "problem" makes `--strict` fail; `--fix` mends or drops every one of them. A "remark" is for a
            person to judge.
        unit: what is counted.
        title: goes on after the unit.
        advice: what it means, or what to do.
    """

    severity: Severity
    unit: str
    title: str
    advice: str

    @property
    def heading(self) -> str:
        """`texts with mojibake`."""
        return f"{plural_of(self.unit)} {self.title}"


KINDS = {
    "unreadable": Kind("problem", "line", "that cannot be read", "training stops there unless data.on_error=skip"),
    "duplicate": Kind("problem", "conversation", "repeated word for word", "each counts as often as it stands there"),
    "leak": Kind(
        "problem", "conversation", "also in an earlier file", "what is measured on one was learned from the other"
    ),
    "near_leak": Kind(
        "problem", "conversation", "nearly as in an earlier file", "a test that was half learned by heart"
    ),
    "long_persona": Kind(
        "problem", "conversation", "without room beside the persona", "shorten it or widen the window"
    ),
    "replacement": Kind("problem", "text", "with U+FFFD", "the character was lost in an earlier conversion"),
    "mojibake": Kind("problem", "text", "with mojibake", "UTF-8 was once read as another encoding"),
    "control": Kind("problem", "text", "with control characters", "remains of terminals or binary data"),
    "hidden": Kind("problem", "text", "with hidden characters", "zero-width or direction marks that nobody sees"),
    "blank": Kind("problem", "text", "without a visible character", "the model would learn to say nothing"),
    "near_duplicate": Kind("remark", "conversation", "nearly as an earlier one", "small changes of the same text"),
    "beginning": Kind("remark", "conversation", "at the beginning of a longer one", "their turns count twice"),
    "shared_reply": Kind(
        "remark", "reply", "also in an earlier file, with all before them", "openings are often alike"
    ),
    "cut_turn": Kind("remark", "turn", "longer than the window", "they lose their beginning; split them"),
    "html": Kind("remark", "text", "with HTML tags or entities", "the model will write them too"),
    "url": Kind("remark", "text", "with a web address", "the model will make up others"),
    "email": Kind("remark", "text", "with an e-mail address", "personal data?"),
    "phone": Kind("remark", "text", "with what looks like a telephone number", "personal data?"),
    "control_token": Kind("remark", "text", "with the string of a control token", "it is read as ordinary text"),
    "repeated": Kind("remark", "text", "with one character ten times in a row", "shouting, rulers or noise"),
    "wordless": Kind("remark", "turn", "without a letter or digit", "fine where emoji or '...' are replies"),
    "echo": Kind("remark", "conversation", "with a turn equal to the one before", "the model will parrot"),
    "one_sided": Kind("remark", "conversation", "with one speaker saying nearly all", "the other teaches little"),
    "monotone": Kind(
        "remark", "conversation", "with a speaker always saying the same", "three turns or more, all equal"
    ),
    "odd_script": Kind("remark", "conversation", "in a script rare in this file", "strays from another data set?"),
}
"""In the order in which they are shown."""


@dataclass(frozen=True)
class Example:
    """One of what was found.

    Args:
        place: file and line.
        text: what stands there, on one line, short, nothing in it invisible.
    """

    place: str
    text: str


@dataclass(frozen=True)
class Finding:
    """All of one kind in one file.

    Args:
        kind: a name in KINDS.
        source: the file.
        count: how many.
        total: of how many.
        examples: the first few.
        other: the other file, for what two files share.
    """

    kind: str
    source: str
    count: int
    total: int
    examples: tuple[Example, ...] = ()
    other: str = ""

    @property
    def severity(self) -> Severity:
        """Whether `--strict` fails because of it."""
        return KINDS[self.kind].severity


def share(count: int, total: int) -> str:
    """A share for a person: `12.5%`, `0.26%`, `<0.01%`; 0% and 100% are said of none and all alone."""
    percent = 100 * count / max(total, 1)
    if count in (0, total):
        return f"{percent:.0f}%"
    if percent < 1:
        return "<0.01%" if percent < 0.01 else f"{percent:.2f}%"
    return f"{min(percent, 99.9):.1f}%"


def plural(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural_of(noun)}"


def plural_of(noun: str) -> str:
    """`turns`, `replies`."""
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


_JOINERS = "\u200c\u200d"  # without them emoji and letters fall apart


def excerpt(text: str, *, around: int = 0, width: int = 70) -> str:
    """A piece of a text on one line; characters that cannot be seen are written as their code points."""
    start = max(0, min(around - width // 3, len(text) - width))
    piece = text[start : start + width]
    shown = "".join(
        c if c.isprintable() or c in _JOINERS else " " if c in "\n\t " else f"<U+{ord(c):04X}>" for c in piece
    )
    return f"{'...' if start else ''}{shown}{'...' if start + width < len(text) else ''}"


class Tally:
    """Counts by kind, and keeps the first examples.

    Args:
        place: a line of the file in, its name for a person out.
    """

    def __init__(self, place: Callable[[int], str]) -> None:
        self._place = place
        self._counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[Example]] = defaultdict(list)

    def add(self, kind: str, line: int, text: Callable[[], str]) -> None:
        """Counts one; `text` is asked only when it becomes an example."""
        self._counts[kind] += 1
        if len(self._examples[kind]) < EXAMPLES:
            self._examples[kind].append(Example(self._place(line), text()))

    def add_text(self, kind: str, chunk: Chunk, segment: int, *, at: int = 0) -> None:
        """Counts a text in which something stands at a position."""
        line = int(chunk.lines[chunk.owners[segment]])
        self.add(kind, line, lambda: f"{chunk.name_of(segment)}: {excerpt(chunk.texts[segment], around=at)}")

    def note(self, kind: str, count: int, examples: Iterable[Example]) -> None:
        """Takes over what was counted elsewhere; nothing when `count` is 0."""
        if count:
            self._counts[kind] += count
            self._examples[kind].extend(examples)

    def findings(self, source: str, totals: dict[str, int]) -> list[Finding]:
        """What was found.

        Args:
            source: the file.
            totals: for each unit of KINDS, how many were looked at.
        """
        return [
            Finding(kind, source, count, totals[KINDS[kind].unit], tuple(self._examples[kind]))
            for kind, count in self._counts.items()
        ]
