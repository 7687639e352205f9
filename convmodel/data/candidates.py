"""Files of candidates in, texts with what is known of them out."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import ConversationReader, check_turns
from convmodel.data.formats.base import ConversationFileError, describe_type, quote_names
from convmodel.data.lines import check_is_file, first_lines, read_lines

__all__ = ["CandidateText", "distinct_candidates", "read_candidates"]

_WANTED = 'write a text in quotes, or {"text": "...", and whatever is known of it}'


@dataclass(frozen=True, slots=True)
class CandidateText:
    """Something that may be said.

    Args:
        text: not empty; kept character for character.
        metadata: what is known of it, as JSON has it.

    Raises:
        TypeError, ValueError: for a text that is none or is empty.
    """

    text: str
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        [text] = check_turns([self.text], what="candidate")
        object.__setattr__(self, "text", text)


def read_candidates(path: str | os.PathLike[str], *, turns: bool = False) -> Iterator[CandidateText]:
    """Yields the candidates of a file, in bounded memory.

    Args:
        path: plain or gzipped: one text a line, or JSON Lines, each a text or {"text": ...} whose other keys are
            metadata. Blank lines are nothing.
        turns: the file is one of conversations, of any format, or the address of a Hub data set; each turn is a
            candidate.

    Raises:
        ConversationFileError: for a line that cannot be used, with file and line, and for a file with nothing in it.
        FileNotFoundError, IsADirectoryError: when there is no file.
    """
    path = os.fspath(path)
    if not turns:
        check_is_file(path)  # at once, before anything is made for what is in it
    return _some(_turns(path) if turns else _lines(path), path)


def distinct_candidates(path: str | os.PathLike[str]) -> list[CandidateText]:
    """The candidates of a small file; of those that differ in white space at their ends alone, the first one.

    Args:
        path: as for `read_candidates`, which says what is raised.
    """
    first: dict[str, CandidateText] = {}
    for candidate in read_candidates(path):
        first.setdefault(candidate.text.strip(), candidate)
    return [CandidateText(text, candidate.metadata) for text, candidate in first.items()]


def _some(found: Iterable[CandidateText], path: str) -> Iterator[CandidateText]:
    count = 0
    for candidate in found:
        count += 1
        yield candidate
    if not count:
        raise ConversationFileError(f"{path}: there are no candidates in it; check that it is the right one")


def _turns(path: str) -> Iterator[CandidateText]:
    for conversation in ConversationReader(path, min_turns=1):
        yield from map(CandidateText, conversation.turns)


def _lines(path: str) -> Iterator[CandidateText]:
    make = _of_json if _is_json(path) else CandidateText
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
    """Whether a file is JSON Lines: a plain text may begin with a quotation mark, or hold a bracket."""
    lines = first_lines(path)
    if path.removesuffix(".gz").endswith((".jsonl", ".ndjson")) or all(line.lstrip()[0] in "{[" for line in lines):
        return bool(lines)
    try:
        return all(isinstance(json.loads(line), str | dict) for line in lines)
    except ValueError:
        return False


def _of_json(line: str) -> CandidateText:
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
    found = (
        f"an object without text (its keys: {quote_names(value)})" if isinstance(value, dict) else describe_type(value)
    )
    raise ValueError(f"the line is {found}; {_WANTED}")
