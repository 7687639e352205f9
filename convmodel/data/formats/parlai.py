r"""ParlAI's dialogue text, one conversation per episode: `text:Hello<TAB>labels:Hi<TAB>episode_done:True`.

Source: `str_to_msg` and `ParlAIDialogTeacher` of github.com/facebookresearch/ParlAI. A tab is written `\t`, a
newline `\n`, a bar that is not a separator `__PIPE__`. Unlike in ParlAI, `episode_done:False` does not end an episode,
and labels are unescaped too.
"""

import re
from collections.abc import Iterator

from convmodel.data.data_file import Head
from convmodel.data.formats.base import (
    Certainty,
    FileFormat,
    Problem,
    Record,
    TextLine,
    from_lines,
    quote_names,
    shorten,
)
from convmodel.data.formats.episode import Episode

_LABELS = ("labels", "eval_labels")
_BEGINNINGS = re.compile(r"(text|labels|eval_labels):")
_CANDIDATES = "label_candidates"


def score(head: Head) -> Certainty:
    """Return LIKELY if the first line has a field `text` or `labels`, and NONE otherwise."""
    fields = head.lines[0].split("\t")
    return Certainty.LIKELY if any(map(_BEGINNINGS.match, fields)) else Certainty.NONE


def read(lines: Iterator[TextLine]) -> Iterator[Record | Problem]:
    """Yield one record per episode. If it has a problem, the whole episode is lost."""
    episode: Episode | None = None
    dropping = False
    for line in lines:
        if not line.problem and (not line.text or line.text.isspace()):
            continue
        if not dropping:
            episode = episode or Episode(line.number)
            try:
                _add_exchange(line, episode)
            except ValueError as error:
                dropping = True
                yield Problem(line.number, str(error))
        if _ends_episode(line.text):
            if episode and not dropping:
                yield episode.record()
            episode = None
            dropping = False
    if episode and not dropping:
        yield episode.record()


def _add_exchange(line: TextLine, episode: Episode) -> None:
    if line.problem:
        raise ValueError(line.problem)
    fields: dict[str, str] = {}
    for field in line.text.split("\t"):
        name, colon, value = field.partition(":")
        if not colon:
            raise ValueError(f"{shorten(field)!r} is not a field; write name:value, and a tab inside a value as \\t")
        fields[name] = value
    label = next((fields.pop(name) for name in _LABELS if name in fields), None)
    if "text" not in fields or label is None:
        missing = "labels" if "text" in fields else "text"
        raise ValueError(f"there is no {missing} (found: {quote_names(fields)}); write text:...<TAB>labels:...")
    text = _unescape(fields.pop("text"))
    labels = [_unescape(part) for part in label.split("|")]
    if not text.strip() or not labels[0].strip():
        raise ValueError(f"{'labels' if text.strip() else 'text'} is empty; fill it or remove the episode")
    candidates = [_unescape(part) for part in fields.pop(_CANDIDATES, "").split("|") if part]
    fields.pop("episode_done", None)
    episode.add_text(text)
    meta = {name: _unescape(fields[name]) for name in fields}
    episode.add_response(labels, line=line.number, candidates=candidates, meta=meta)


def _ends_episode(text: str) -> bool:
    done = [field[13:] for field in text.split("\t") if field.startswith("episode_done:")]
    return bool(done) and done[-1].strip().lower() not in ("", "0", "false")


def _unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n").replace("__PIPE__", "|")


PARLAI = FileFormat(
    name="parlai", human_name="ParlAI dialogue text", unit="episode", suffixes=(), score=score, read=from_lines(read)
)
