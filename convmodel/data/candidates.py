"""Reading files of response candidates and their metadata."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

from convmodel.data.conversation import ConversationReader, check_turns
from convmodel.data.formats.base import DataFileError
from convmodel.data.formats.candidates import CANDIDATES, CandidateRecord
from convmodel.data.options import TALK_OPTIONS, OptionValues, ReadOptions
from convmodel.data.reader import Reader, Report, Source, format_count

__all__ = ["CandidateReader", "CandidateText", "distinct_candidates", "questions_of", "read_candidates"]


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


@dataclass
class CandidateReport(Report):
    """Counts of one pass over a source of candidates.

    Args:
        candidates: the number of candidates read.
    """

    candidates: int = 0

    formats = CANDIDATES

    def describe_read(self) -> str:
        """Return the number of candidates, in words."""
        return format_count(self.candidates, "candidate")


class CandidateReader(Reader[CandidateRecord, CandidateText, CandidateReport]):
    """Read the candidates of files, any number of times, in bounded memory.

    Args:
        source: a path, a folder, a glob, `hub://org/name?column=text`, or a list of them. A file, which may be
            compressed, holds plain text with one candidate per line; or JSON Lines, or one JSON list, of texts or of
            objects {"text": ...} whose other keys are metadata; or a table with the column text.
        options, values: see `ConversationReader`; the role "text" of `columns` names the key or column of the text.

    Raises:
        ValueError, DataFileError, FileNotFoundError, IsADirectoryError: see `ConversationReader`.
    """

    noun = "candidate"
    unused_options = TALK_OPTIONS
    formats = CANDIDATES
    report_class = CandidateReport

    def _convert(self, record: CandidateRecord, report: CandidateReport) -> CandidateText:
        candidate = CandidateText(record.text, record.metadata)
        report.candidates += 1
        return candidate


def read_candidates(
    source: Source, options: ReadOptions | None = None, *, turns: bool = False, **values: Unpack[OptionValues]
) -> Iterator[CandidateText]:
    """Yield the candidates of a source once; see `CandidateReader` for arguments and errors.

    Args:
        turns: whether the source holds conversations, in any format of `ConversationReader`, of which each turn is a
            candidate.
    """
    if not turns:
        return iter(CandidateReader(source, options, **values))
    reader = ConversationReader(source, options, min_turns=1, **values)
    return (CandidateText(turn) for conversation in reader for turn in conversation.turns)


def distinct_candidates(source: Source) -> list[CandidateText]:
    """Return the distinct candidates of a small file, with white space at their ends removed.

    Of candidates that differ only in that white space, the first one is kept.

    Args:
        source: the file; see `CandidateReader`, also for errors.
    """
    first: dict[str, CandidateText] = {}
    reader = CandidateReader(source, on_error="skip")
    for candidate in reader:
        first.setdefault(candidate.text.strip(), candidate)
    if reader.report.skipped:  # commands that take a list of candidates have no option to skip lines
        raise DataFileError(reader.report.problems[0])
    return [CandidateText(text, candidate.metadata) for text, candidate in first.items()]


def questions_of(metadata: Mapping[str, Any] | None) -> list[str]:
    """Return the questions that a candidate answers: the text, or the texts, of the key "question" of its metadata."""
    for name, value in (metadata or {}).items():
        if name.strip().lower() == "question":
            texts = value if isinstance(value, list) else [value]
            return [text for text in texts if isinstance(text, str) and text.strip()]
    return []
