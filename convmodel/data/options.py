"""Options of readers, and the names of options in the messages of each front end."""

import codecs
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

OnError = Literal["stop", "skip"]
OptionStyle = Literal["python", "command", "data", "index"]

DEFAULT_MAX_LINE_BYTES = 16 * 2**20
DEFAULT_GAP = 6 * 3600.0
"""Seconds without a message after which a chat begins a new conversation."""

COLUMN_ROLES = ("context", "response", "turns", "messages", "persona", "id", "speaker", "text")
"""The roles of the `columns` option: parts of a conversation, each of which may be in a column or under a key."""

CHAT_OPTIONS = ("me", "gap", "name_speakers", "mask")
"""Options that apply to chat exports only."""

TALK_OPTIONS = (*CHAT_OPTIONS, "keep_speakers")
"""Options that apply to conversations only."""

_STYLES: list[OptionStyle] = ["python"]
"""A stack of styles, of which the last one is in use. All threads share it, because worker threads read files too."""

_GAP = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class OptionValues(TypedDict, total=False):
    """The keyword arguments of readers; see `ReadOptions`."""

    format: str | None
    columns: Mapping[str, str] | str | None
    encoding: str | None
    on_error: OnError | None
    max_line_bytes: int | None
    me: str | None
    gap: float | str | None
    name_speakers: bool | None
    mask: bool | None
    keep_speakers: bool | None


@dataclass(frozen=True)
class ReadOptions:
    """Options of a reader. None stands for the default of an option.

    Args:
        format: the name of the format; by default it is recognised.
        columns: names of columns or keys by role (`COLUMN_ROLES`): a mapping, or "context=NAME,response=NAME".
        encoding: the encoding of files without a byte order mark, UTF-8 by default.
        on_error: "stop" (default) raises at the first unreadable line, "skip" counts it and continues.
        max_line_bytes: the length limit of a line, a row or a JSON value; 16 MiB by default.
        me: in a chat export, the name of the person in whose role the model replies.
        gap: in a chat export, the time without a message after which a new conversation begins: seconds, or "90m",
            "6h" (default), "2d".
        name_speakers: in a chat export, whether "Name: " is put before the messages of the others.
        mask: in a chat export, whether phone numbers, addresses, links and account numbers are replaced.
        keep_speakers: in chat exports and lists of utterances, whether conversations keep the names of the speakers, as
            they do for JSON Lines with `speakers`.

    Raises:
        ValueError: for a value that is not allowed.
    """

    format: str | None = None
    columns: Mapping[str, str] | str | None = None
    encoding: str | None = None
    on_error: OnError | None = None
    max_line_bytes: int | None = None
    me: str | None = None
    gap: float | str | None = None
    name_speakers: bool | None = None
    mask: bool | None = None
    keep_speakers: bool | None = None

    def __post_init__(self) -> None:
        if self.on_error not in (None, *get_args(OnError)):
            raise ValueError(f"{name_option('on_error', self.on_error)}: allowed are 'stop' and 'skip'")
        if self.max_line_bytes is not None and self.max_line_bytes < 1:
            given = name_option("max_line_bytes", self.max_line_bytes)
            raise ValueError(f"{given}: give the longest allowed line in bytes")
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _check_encoding(self.encoding))
        if self.columns is not None:
            object.__setattr__(self, "columns", _parse_columns(self.columns))
        if self.keep_speakers and self.name_speakers:
            both = f"{name_option('keep_speakers', True)} and {name_option('name_speakers', True)}"
            raise ValueError(f"{both} both write the names; leave one of them out")
        if self.gap is not None:
            object.__setattr__(self, "gap", _parse_gap(self.gap))

    def combine(self, values: OptionValues) -> "ReadOptions":
        """Return a copy of the options in which the values that are not None replace the old ones."""
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        return replace(self, **given) if given else self

    def content_key(self) -> dict[str, Any]:
        """Return the options that are given and that change the items read from the bytes of a file."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        kept = {name: value for name, value in values.items() if value is not None and name != "on_error"}
        if kept.get("max_line_bytes") == DEFAULT_MAX_LINE_BYTES:
            del kept["max_line_bytes"]
        return kept

    @property
    def skips(self) -> bool:
        """Whether unreadable lines are skipped."""
        return self.on_error == "skip"

    @property
    def line_limit(self) -> int:
        """The length limit of a line, a row or a JSON value in bytes."""
        return self.max_line_bytes or DEFAULT_MAX_LINE_BYTES

    @property
    def roles(self) -> Mapping[str, str]:
        """The names of columns by role."""
        return self.columns if isinstance(self.columns, Mapping) else {}

    @property
    def gap_seconds(self) -> float:
        """The time without a message after which a new conversation begins, in seconds."""
        return DEFAULT_GAP if self.gap is None else float(self.gap)


def name_flag(name: str) -> str:
    """Return an option as the command line writes it, such as `--num-replies` for `num_replies`."""
    return f"--{name.replace('_', '-')}"


def name_option(name: str, value: Any = None) -> str:
    """Return an option as the front end writes it: `format=...`, `--format ...` or `data.format=...`.

    Args:
        name: the name of the option.
        value: its value; None is written as "...".
    """
    style = _STYLES[-1]
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if value is None:
        text = "..."
    elif style == "python" and isinstance(value, str):
        text = repr(value)
    if style in ("command", "index"):
        command = "python -m convmodel index " if style == "index" else ""
        flag = f"{command}{name_flag(name)}"
        return flag if value is True else f"{flag} {shlex.quote(text)}"
    return f"data.{name}={text}" if style == "data" else f"{name}={text}"


@contextmanager
def option_style(style: OptionStyle) -> Iterator[None]:
    """Set the style in which messages name options, within the block.

    Args:
        style: "python" (`format=...`), "command" (`--format ...`), "data" (`data.format=...`), or "index"
            (`python -m convmodel index --format ...`), for commands without reading options, which accept an index
            that was made with these options.
    """
    _STYLES.append(style)
    try:
        yield
    finally:
        _STYLES.pop()


def _check_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        if not isinstance(codecs.getincrementaldecoder(name)().decode(b"", True), str):
            raise LookupError("a codec of bytes, such as base64")
    except (LookupError, ValueError):
        allowed = "give utf-8, cp1252, shift_jis or another of Python's"
        raise ValueError(f"{name_option('encoding', name)}: there is no such encoding; {allowed}") from None
    return codec.name


def _parse_columns(columns: Mapping[str, str] | str) -> dict[str, str]:
    wanted = f"write {name_option('columns', 'context=NAME,response=NAME')}"
    if isinstance(columns, str):
        pairs = [part.partition("=") for part in columns.split(",") if part.strip()]
        if not pairs or not all(equals and name.strip() for _, equals, name in pairs):
            raise ValueError(f"{name_option('columns', columns)}: is not a list of roles and names; {wanted}")
        columns = {role.strip(): name.strip() for role, _, name in pairs}
    unknown = next((role for role in columns if role not in COLUMN_ROLES), None)
    if unknown is not None:
        raise ValueError(f"{name_option('columns')}: unknown role {unknown!r}; allowed are {', '.join(COLUMN_ROLES)}")
    return dict(columns)


def _parse_gap(gap: float | str) -> float:
    match = _GAP.fullmatch(str(gap).strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError(f"{name_option('gap', gap)}: give a time such as 90m, 6h or 2d")
    return seconds
