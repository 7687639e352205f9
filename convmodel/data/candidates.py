"""Reading files of response candidates and their metadata."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import ConversationReader, check_turns
from convmodel.data.formats.base import ConversationFileError, describe_type, quote_names
from convmodel.data.lines import check_file, first_lines, read_lines

__all__ = ["CandidateText", "distinct_candidates", "read_candidates"]

_WANTED = 'write a text in quotes, or {"text": "...", and any metadata}'


@dataclass(frozen=True, slots=True)
class CandidateText:
    """A candidate response with its metadata.

    Args:
        text: the response, not empty; stored character for character.
        metadata: other fields of the candidate, as JSON values.

    Raises:
        TypeError, ValueError: for a text that is not a string, or is empty.
    """

    text: str
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        [text] = check_turns([self.text], what="candidate")
        object.__setattr__(self, "text", text)


def read_candidates(path: str | os.PathLike[str], *, turns: bool = False) -> Iterator[CandidateText]:
    """Yield the candidates of a file, in bounded memory.

    Args:
        path: a plain or gzipped file with one text per line, or JSON Lines of which each is a string or an object
            {"text": ...} whose other keys are metadata. Blank lines are ignored.
        turns: whether `path` is a file of conversations, in any format, or the address of a Hub data set, of which
            each turn is a candidate.

    Raises:
        ConversationFileError: for an unusable line, with file and line number, and for a file without candidates.
        FileNotFoundError, IsADirectoryError: when the file is missing, or is a folder.
    """
    path = os.fspath(path)
    if not turns:
        check_file(path)  # before the first item is requested, so that the caller has not begun any work
    return _require_any(_turns(path) if turns else _lines(path), path)


def distinct_candidates(path: str | os.PathLike[str]) -> list[CandidateText]:
    """Return the distinct candidates of a small file, with white space at their ends removed.

    Of candidates that differ only in that white space, the first one is kept.

    Args:
        path: the file; see `read_candidates`, also for errors.
    """
    first: dict[str, CandidateText] = {}
    for candidate in read_candidates(path):
        first.setdefault(candidate.text.strip(), candidate)
    return [CandidateText(text, candidate.metadata) for text, candidate in first.items()]


def _require_any(candidates: Iterable[CandidateText], path: str) -> Iterator[CandidateText]:
    is_empty = True
    for candidate in candidates:
        is_empty = False
        yield candidate
    if is_empty:
        raise ConversationFileError(f"{path}: there are no candidates in it; check that it is the right one")


def _turns(path: str) -> Iterator[CandidateText]:
    for conversation in ConversationReader(path, min_turns=1):
        yield from map(CandidateText, conversation.turns)


def _lines(path: str) -> Iterator[CandidateText]:
    make = _parse_json_line if _is_json(path) else CandidateText
    for number, text, problem in read_lines(path):
        if problem is None and not text.strip():
            continue
        try:
            if problem is not None:
                raise ValueError(problem)
            yield make(text)
        except (TypeError, ValueError) as error:
            raise ConversationFileError(f"{path}:{number}: {error}") from None


def _is_json(path: str) -> bool:
    """Return whether a file is JSON Lines; plain text, too, may begin with a quotation mark or contain a bracket."""
    lines = first_lines(path)
    if path.removesuffix(".gz").endswith((".jsonl", ".ndjson")) or all(line.lstrip()[0] in "{[" for line in lines):
        return bool(lines)
    try:
        return all(isinstance(json.loads(line), str | dict) for line in lines)
    except ValueError:
        return False


def _parse_json_line(line: str) -> CandidateText:
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {_WANTED}") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error}); {_WANTED}") from None
    if isinstance(value, str):
        return CandidateText(value)
    if isinstance(value, list) or (isinstance(value, dict) and not {"text", "turns", "messages"}.isdisjoint(value)):
        if isinstance(value, dict) and "text" in value:
            text = value.pop("text")
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is a ValueError
            return CandidateText(text, value or None)
        raise ValueError("the line is a conversation; to take each turn as a candidate, ask for turns (--turns)")
    is_object = isinstance(value, dict)
    kind = f"an object without text (its keys: {quote_names(value)})" if is_object else describe_type(value)
    raise ValueError(f"the line is {kind}; {_WANTED}")
