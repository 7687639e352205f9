"""Reading prompts for documents: the beginning of a text, with its metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from convmodel.data.conversation import check_characters
from convmodel.data.document import Meta, check_meta
from convmodel.data.formats.base import Certainty, FileFormat, describe_type, from_lines, quote_names
from convmodel.data.formats.document_record import BODY_KEYS
from convmodel.data.formats.documents import HUB, row_record, score_jsonl
from convmodel.data.formats.hub import HubFormat
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.json_text import encode_json, parse_json
from convmodel.data.lines import parse_lines
from convmodel.data.options import TALK_OPTIONS
from convmodel.data.reader import Reader, Report, format_count

WANTED = 'write {"prompt": "...", "meta": "..."}'

OUTPUT_KEYS = frozenset({"body", "texts", "scores", "finishes", "seed", "tokens_dropped", "error"})
"""Keys that the `generate` command adds to a prompt; its output can be read as prompts again."""


class PromptRecord(NamedTuple):
    """A prompt as parsed by a format, not yet validated.

    Args:
        line: the line number, counted from 1.
        prompt: the beginning of a document.
        meta: its metadata.
        other_fields: other keys of the object with their values.
    """

    line: int
    prompt: Any
    meta: Any = None
    other_fields: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The beginning of a document to generate, with its metadata.

    Args:
        prompt: the beginning of the text; may be empty.
        meta: the metadata.
        other_fields: other keys of the object in the file, with their values.
    """

    prompt: str
    meta: Meta | None = field(default=None, hash=False)
    other_fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _parse_json_line(number: int, text: str) -> PromptRecord:
    value = parse_json(text, noun="prompt", wanted=WANTED)
    if not isinstance(value, dict):
        raise ValueError(f"the line is {describe_type(value)}; {WANTED}")
    if "prompt" not in value:
        body = next((key for key in BODY_KEYS if key in value), None)
        if body is not None:
            raise ValueError(f"the object is a document, with {body!r}, and has no prompt; {WANTED}")
        if "meta" not in value:
            raise ValueError(f"the object has neither prompt nor meta (its keys: {quote_names(value)}); {WANTED}")
    used = OUTPUT_KEYS | {"prompt", "meta"}
    other_fields = {name: item for name, item in value.items() if name not in used}
    try:
        encode_json(other_fields).encode()
    except ValueError as error:  # NaN, or a lone surrogate
        raise ValueError(f"other fields cannot be written as JSON ({error}); remove them") from None
    return PromptRecord(number, value.get("prompt"), value.get("meta"), other_fields)


_READ_JSONL = from_lines(partial(parse_lines, parse=_parse_json_line))
_READ_TEXT = from_lines(partial(parse_lines, parse=PromptRecord))

PROMPTS: FormatRegistry[PromptRecord] = FormatRegistry(
    "prompt",
    {
        "jsonl": FileFormat("jsonl", "JSON Lines", "line", (".jsonl", ".ndjson", ".json"), score_jsonl, _READ_JSONL),
        "text": FileFormat("text", "one prompt a line", "line", (".txt",), lambda _: Certainty.WEAK, _READ_TEXT),
    },
    HubFormat(example=HUB.example, options=HUB.options, record=partial(row_record, PromptRecord)),
)
"""The formats of prompts."""


@dataclass
class PromptReport(Report):
    """Counts of one pass over a source of prompts.

    Args:
        prompts: the number of prompts read.
        with_meta: the number of prompts with metadata.
    """

    prompts: int = 0
    with_meta: int = 0

    formats = PROMPTS

    def describe_read(self) -> str:
        """Return the number of prompts, and the number with metadata, in words."""
        return format_count(self.prompts, "prompt") + (f", {self.with_meta:,} with meta" if self.with_meta else "")


class PromptReader(Reader[PromptRecord, Prompt, PromptReport]):
    """Read the prompts of a file or a Hub data set, any number of times, in bounded memory.

    Args:
        source: a path, plain or gzipped, or `hub://org/name?column=text&meta=topic&split=train`.
        format: "jsonl", objects `{"prompt": ..., "meta": ...}` of which either key may be missing; "text", one prompt
            per line; or "hub". None detects it from the content.
        on_error, max_line_bytes: see `DocumentReader`, also for the errors raised.
    """

    noun = "prompt"
    unused_options = ("columns", *TALK_OPTIONS)
    formats = PROMPTS
    report_class = PromptReport

    def _convert(self, record: PromptRecord, report: PromptReport) -> Prompt:
        text = check_prompt("" if record.prompt is None else record.prompt)
        prompt = Prompt(text, check_meta(record.meta), record.other_fields)
        report.prompts += 1
        report.with_meta += prompt.meta is not None
        return prompt


def check_prompt(prompt: object) -> str:
    """Check the prompt of a document, which may be empty, and return it unchanged.

    Raises:
        TypeError: when the prompt is not a string.
        ValueError: for a lone surrogate.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt is {describe_type(prompt)}; give a string, which may be empty")
    return check_characters(prompt, "the prompt")
