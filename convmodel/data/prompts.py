"""Files of prompts in, Prompts out: how documents begin, and what is known of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from convmodel.data.conversation import check_characters
from convmodel.data.document import Meta, check_meta
from convmodel.data.formats.base import FileFormat, Line, Problem, describe_type, quote_names
from convmodel.data.formats.documents import BODY_KEYS, HUB, meta_of, sniff_jsonl
from convmodel.data.formats.hub import HubAddress, HubFormat
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.lines import encode, one_a_line, parse
from convmodel.data.reader import Reader, Report, count

WANTED = 'write {"prompt": "...", "meta": "..."}'

MADE = frozenset({"body", "texts", "scores", "finishes", "seed", "tokens_dropped", "error"})
"""What stands beside a prompt that was gone on with; a file of these is one of prompts too."""


class PromptRecord(NamedTuple):
    """What a format found, not yet checked.

    Args:
        line: where it stands, counted from 1.
        prompt: how a document begins, if the file is right.
        meta: what is known of it, if the file is right.
        others: whatever else was there.
    """

    line: int
    prompt: Any
    meta: Any = None
    others: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a document is to be written for.

    Args:
        prompt: how it begins; may be empty.
        meta: what is known of it.
        others: what else stood there.
    """

    prompt: str
    meta: Meta | None = field(default=None, hash=False)
    others: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _read_jsonl(lines: Iterator[Line]) -> Iterator[PromptRecord | Problem]:
    return one_a_line(lines, _of_json)


def _read_text(lines: Iterator[Line]) -> Iterator[PromptRecord | Problem]:
    return one_a_line(lines, PromptRecord)


def _of_json(number: int, text: str) -> PromptRecord:
    value = parse(text, noun="prompt", wanted=WANTED)
    if not isinstance(value, dict):
        raise ValueError(f"the line is {describe_type(value)}; {WANTED}")
    if "prompt" not in value:
        body = next((key for key in BODY_KEYS if key in value), None)
        if body is not None:
            raise ValueError(f"the object is a document, with {body!r}, and has no prompt; {WANTED}")
        if "meta" not in value:
            raise ValueError(f"the object has neither prompt nor meta (its keys: {quote_names(value)}); {WANTED}")
    others = {name: each for name, each in value.items() if name not in ("prompt", "meta") and name not in MADE}
    try:
        encode(others).encode()
    except ValueError as error:  # NaN, or a lone surrogate
        raise ValueError(f"what stands beside prompt and meta cannot be written again ({error}); remove it") from None
    return PromptRecord(number, value.get("prompt"), value.get("meta"), others)


def _of_row(number: int, row: Mapping[str, Any], address: HubAddress) -> PromptRecord:
    return PromptRecord(number, row[str(address.column)], meta_of(row, address))


def _whatever(first_lines: Sequence[str]) -> bool:
    return True


PROMPTS: FormatRegistry[PromptRecord] = FormatRegistry(
    "prompt",
    {
        "jsonl": FileFormat("jsonl", "JSON Lines", "line", (".jsonl", ".ndjson", ".json"), sniff_jsonl, _read_jsonl),
        "text": FileFormat("text", "one prompt a line", "line", (".txt",), _whatever, _read_text),
    },
    HubFormat(HUB.name, HUB.human_name, HUB.unit, HUB.example, HUB.options, _of_row),
)
"""What readers of prompts know."""


@dataclass
class PromptReport(Report):
    """What one reading of a source came to, so far.

    Args:
        prompts: how many were read.
        with_meta: how many of them have a meta.
    """

    prompts: int = 0
    with_meta: int = 0

    formats = PROMPTS

    def found(self) -> str:
        """How many prompts, and how many with meta."""
        return count(self.prompts, "prompt") + (f", {self.with_meta:,} with meta" if self.with_meta else "")


class PromptReader(Reader[PromptRecord, Prompt, PromptReport]):
    """Reads prompts, as often as wanted, in bounded memory.

    Args:
        source: a path, plain or gzipped, or `hub://org/name?column=text&meta=topic&split=train`.
        format: "jsonl", objects `{"prompt": ..., "meta": ...}` of which either may be missing; "text", one prompt a
            line; or "hub". None recognises it from the content.
        on_error, max_line_bytes: see `DocumentReader`, whose errors these are too.
    """

    noun = "prompt"
    formats = PROMPTS

    def _new_report(self) -> PromptReport:
        return PromptReport(self.source, self.format)

    def _make(self, record: PromptRecord, report: PromptReport) -> Iterable[tuple[int, Prompt] | Problem]:
        try:
            prompt = check_prompt("" if record.prompt is None else record.prompt)
            made = Prompt(prompt, check_meta(record.meta), record.others)
        except (TypeError, ValueError) as error:
            return (Problem(record.line, str(error)),)
        report.prompts += 1
        report.with_meta += made.meta is not None
        return ((record.line, made),)


def check_prompt(prompt: object) -> str:
    """Checks how a document begins, which may be with nothing, and returns it untouched.

    Raises:
        TypeError: for no string.
        ValueError: for a lone surrogate.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt is {describe_type(prompt)}; give a string, which may be empty")
    return check_characters(prompt, "the prompt")
