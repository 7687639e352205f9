"""Kinds of findings in conversation files with their severity, and counts of findings with examples."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from convmodel.data.reader import plural_of
from convmodel.reports.inspection.chunks import Chunk

Severity = Literal["problem", "remark"]

EXAMPLES = 5
"""Maximum number of examples of each kind of finding in a file."""


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Args:
        severity: "problem" makes `--strict` fail, and `--fix` corrects or drops each occurrence. A "remark" may be
            intended, and is only reported.
        unit: singular noun for the counted items, such as "text".
        title: description that follows the unit in the heading, such as "with mojibake".
        advice: consequence of the finding, or a recommendation.
    """

    severity: Severity
    unit: str
    title: str
    advice: str

    @property
    def heading(self) -> str:
        """Heading of findings of this kind, such as `texts with mojibake`."""
        return f"{plural_of(self.unit)} {self.title}"


_PROBLEMS = {
    "unreadable": ("line", "that cannot be read", "training stops there unless data.on_error=skip"),
    "duplicate": ("conversation", "repeated word for word", "every copy counts again in training"),
    "leak": ("conversation", "also in an earlier file", "results on one file were learned from the other"),
    "near_leak": ("conversation", "nearly as in an earlier file", "results on it are partly memorised"),
    "long_persona": ("conversation", "without room beside the persona", "shorten it or widen the window"),
    "replacement": ("text", "with U+FFFD", "the character was lost in an earlier conversion"),
    "mojibake": ("text", "with mojibake", "UTF-8 was once read as another encoding"),
    "control": ("text", "with control characters", "remains of terminals or binary data"),
    "hidden": ("text", "with hidden characters", "zero-width or direction marks that nobody sees"),
    "blank": ("text", "without a visible character", "the model would learn to say nothing"),
}
_REMARKS = {
    "near_duplicate": ("conversation", "nearly as an earlier one", "small changes of the same text"),
    "beginning": ("conversation", "at the beginning of a longer one", "their turns count twice"),
    "shared_reply": ("reply", "also in an earlier file, with all before them", "openings are often alike"),
    "cut_turn": ("turn", "longer than the window", "they lose their beginning; split them"),
    "html": ("text", "with HTML tags or entities", "the model will write them too"),
    "url": ("text", "with a web address", "the model will make up others"),
    "email": ("text", "with an e-mail address", "personal data?"),
    "phone": ("text", "with what looks like a telephone number", "personal data?"),
    "control_token": ("text", "with the string of a control token", "it is read as ordinary text"),
    "repeated": ("text", "with one character ten times in a row", "shouting, rulers or noise"),
    "wordless": ("turn", "without a letter or digit", "fine where emoji or '...' are replies"),
    "echo": ("conversation", "with a turn equal to the one before", "the model will parrot"),
    "one_sided": ("conversation", "with one speaker saying nearly all", "the other teaches little"),
    "monotone": ("conversation", "with a speaker always saying the same", "three turns or more, all equal"),
    "odd_script": ("conversation", "in a script rare in this file", "strays from another data set?"),
    "other_file": ("file", "passed over", "no conversation is in them"),
}
"""Unit, title and advice of each kind."""

KINDS = {kind: FindingKind("problem", *texts) for kind, texts in _PROBLEMS.items()}
KINDS |= {kind: FindingKind("remark", *texts) for kind, texts in _REMARKS.items()}
"""Kinds of findings by name, in the order of the report."""


@dataclass(frozen=True)
class FindingExample:
    """An occurrence of a finding.

    Args:
        location: file and line.
        text: excerpt of the text; see `excerpt`.
    """

    location: str
    text: str


@dataclass(frozen=True)
class Finding:
    """All occurrences of one kind of finding in one file.

    Args:
        kind: key of `KINDS`.
        source: the file.
        count: number of occurrences.
        total: number of checked items.
        examples: the first occurrences.
        other: the earlier file whose items are repeated; empty for other kinds.
    """

    kind: str
    source: str
    count: int
    total: int
    examples: tuple[FindingExample, ...] = ()
    other: str = ""

    @property
    def severity(self) -> Severity:
        """Severity of the kind. A "problem" makes `--strict` fail."""
        return KINDS[self.kind].severity


def share(count: int, total: int) -> str:
    """Return a share as text: `12.5%`, `0.26%`, `<0.01%`. `0%` and `100%` are used only for exactly none and all."""
    percent = 100 * count / max(total, 1)
    if count in (0, total):
        return f"{percent:.0f}%"
    if percent < 1:
        return "<0.01%" if percent < 0.01 else f"{percent:.2f}%"
    return f"{min(percent, 99.9):.1f}%"


_JOINERS = "\u200c\u200d"  # shown unchanged, because emoji and letters are joined by them


def excerpt(text: str, *, around: int = 0, width: int = 70) -> str:
    """Return up to `width` characters of a text around a position, on one line.

    Invisible characters are written as code points. `...` marks omitted text.
    """
    start = max(0, min(around - width // 3, len(text) - width))
    shown = "".join(map(_visible, text[start : start + width]))
    return f"{'...' if start else ''}{shown}{'...' if start + width < len(text) else ''}"


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character in "\n\t " else f"<U+{ord(character):04X}>"


class Tally:
    """Counts findings of one file by kind, and keeps the first examples.

    `location` formats a line number as a location in messages.
    """

    def __init__(self, location: Callable[[int], str]) -> None:
        self._location = location
        self._counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[FindingExample]] = defaultdict(list)

    def add(self, kind: str, line: int, text: Callable[[], str]) -> None:
        """Count one occurrence. `text` returns its excerpt, and is called only if it is kept as an example."""
        self._counts[kind] += 1
        if len(self._examples[kind]) < EXAMPLES:
            self._examples[kind].append(FindingExample(self._location(line), text()))

    def add_text(self, kind: str, chunk: Chunk, segment: int, *, at: int = 0) -> None:
        """Count an occurrence in a segment, at a position in its text."""
        line = int(chunk.lines[chunk.owners[segment]])
        self.add(kind, line, lambda: f"{chunk.name_of(segment)}: {excerpt(chunk.texts[segment], around=at)}")

    def add_counted(self, kind: str, count: int, examples: Iterable[FindingExample]) -> None:
        """Add `count` occurrences that were counted elsewhere, with examples."""
        if count:
            self._counts[kind] += count
            self._examples[kind].extend(examples)

    def findings(self, source: str, totals: dict[str, int]) -> list[Finding]:
        """Return the findings of a file. `totals` are the numbers of checked items, by unit of `KINDS`."""
        return [
            Finding(kind, source, count, totals[KINDS[kind].unit], tuple(self._examples[kind]))
            for kind, count in self._counts.items()
        ]
