"""Shorten the config that jsonargparse prints: a line for each option, ours first, with the trainer's usual ones."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml

SECTIONS = {
    "data": "files and batches",
    "model": "what is trained, and how",
    "trainer": "pytorch_lightning.Trainer, all of whose options are possible",
    "samples": "replies that are printed after each validation",
    "checkpoint": "",
    "export_dir": "",
    "seed_everything": "seed of new weights, of the order of the data and of dropout",
}
"""Sections in the order in which they are printed, with a comment where the printed one says less."""

TRAINER_OPTIONS = {
    *("accelerator", "devices", "num_nodes", "strategy", "precision", "default_root_dir", "logger", "callbacks"),
    *("max_epochs", "max_steps", "max_time", "val_check_interval", "accumulate_grad_batches", "gradient_clip_val"),
}
"""Options of Lightning's trainer that people set. Others are printed if they are not at their default."""

RARE_OPTIONS = {
    *("format", "columns", "encoding", "max_line_bytes", "me", "gap", "name_speakers", "mask", "keep_speakers"),
    *("betas", "cycles", "quantize", "n_kv_head", "cache_dir", "prompts"),
}
"""Our own options that are printed only if they are not at their default."""

WIDTH = 130
"""Maximum length of a line; a comment is cut after a word."""

MIN_COMMENT = 30
"""Number of characters below which a cut comment is left out."""

HEADER = (
    "# The usual options; --print_config=all prints all of them with their whole explanations.\n"
    "# Train with: python -m convmodel.trainer --config FILE\n"
)

_KEY = re.compile(r"^( *)([A-Za-z_][\w.]*):(?: (.*))?$")
_NUMBER = re.compile(r" *- [\d.]+")
_TYPE = re.compile(r"\s*\(type: (?P<type>.*?)(?:, default: (?P<default>.*?))?(?:, known subclasses:.*)?\)$", re.DOTALL)


@dataclass
class Entry:
    """An option, or a section of options, of a printed config.

    Args:
        key: its name.
        indent: number of spaces before the name.
        value: its value in YAML, on the same line; empty for null and for values on the lines below.
        comment: its explanation, on one line.
        below: lines of a list or mapping that is the option's value.
        parts: options of the section.
    """

    key: str
    indent: int
    value: str
    comment: str
    below: list[str] = field(default_factory=list)
    parts: list["Entry"] = field(default_factory=list)

    @property
    def is_default(self) -> bool:
        """Whether the value is the default that the explanation names."""
        match = _TYPE.search(self.comment)
        if match is None or match["default"] is None:
            return False
        written = "\n".join([self.value, *self.below]) if self.below else self.value
        try:
            default = yaml.safe_load(match["default"].replace("(", "[").replace(")", "]"))
            return bool(yaml.safe_load(written) == default)
        except yaml.YAMLError:
            return False


def shorten(config: str) -> str:
    """Return the usual options of a config that was printed with comments. It has the same meaning as a config file.

    Args:
        config: the output of `--print_config=comments`.
    """
    entries = {entry.key: entry for entry in _parse(config.splitlines())}
    for name, comment in SECTIONS.items():
        if comment and name in entries:
            entries[name].comment = comment
    lines = [line for name in SECTIONS if name in entries for line in _lines(entries[name], section=name)]
    return HEADER + "\n".join(lines) + "\n"


def _parse(lines: Sequence[str]) -> list[Entry]:
    """Return the entries of the lines, each with those that are indented below it."""
    top: list[Entry] = []
    open_entries: list[Entry] = []
    comments: list[str] = []
    for line in filter(str.strip, lines):
        match = _KEY.match(line)
        if line.lstrip().startswith("#"):
            comments.append(line.strip("# "))
            continue
        if match is None or (open_entries and not comments and len(match[1]) > open_entries[-1].indent):
            open_entries[-1].below.append(line)  # an item of a list or mapping has no comment
            continue
        entry = Entry(match[2], len(match[1]), match[3] or "", " ".join(comments))
        comments = []
        while open_entries and open_entries[-1].indent >= entry.indent:
            open_entries.pop()
        (open_entries[-1].parts if open_entries else top).append(entry)
        open_entries.append(entry)
    return top


def _lines(entry: Entry, *, section: str) -> Iterator[str]:
    is_option = not entry.parts
    if is_option and entry.is_default and _is_omitted(entry.key, section):
        return
    value = entry.value or ("" if entry.below or entry.parts else "null")
    if entry.below and all(_NUMBER.fullmatch(line) for line in entry.below):
        value = f"[{', '.join(line.strip().removeprefix('- ') for line in entry.below)}]"
        yield _with_comment(f"{' ' * entry.indent}{entry.key}: {value}", entry.comment)
        return
    yield _with_comment(f"{' ' * entry.indent}{entry.key}: {value}".rstrip(), entry.comment)
    yield from entry.below
    for part in entry.parts:
        yield from _lines(part, section=section)


def _is_omitted(key: str, section: str) -> bool:
    return key not in TRAINER_OPTIONS if section == "trainer" else key in RARE_OPTIONS


def _with_comment(line: str, comment: str) -> str:
    """Return the line with the first sentence of a comment, cut at `WIDTH`."""
    sentence = re.split(r"(?<=[.;])\s", _TYPE.sub("", comment), maxsplit=1)[0].rstrip(".; ")
    room = WIDTH - len(line) - 4
    if len(sentence) > room:
        sentence = f"{sentence[: max(0, room - 3)].rpartition(' ')[0]}..."
    return f"{line}  # {sentence}" if sentence and (room >= MIN_COMMENT or not sentence.endswith("...")) else line
