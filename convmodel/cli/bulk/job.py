"""Batch jobs, which write one line for each conversation or prompt of a file, and digests of their models."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.formats.jsonl import dump
from convmodel.data.json_text import encode_json
from convmodel.data.options import ReadOptions
from convmodel.data.prompts import Prompt, PromptReader
from convmodel.data.reader import Reader, Source, source_name
from convmodel.generation.request import derive_seed
from convmodel.responders.protocol import Candidate, DocumentGenerator, Generator, Names, Reply, ReplyHandle, Responder

if TYPE_CHECKING:
    from convmodel.models.document_inputs import DocumentModelOutput

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Job(ABC, Generic[ItemT, ResultT]):
    """Settings of a batch job, and conversion of its items to requests and of the results to output lines.

    Args:
        digest: digest of the model; a run can be resumed only with an equal digest.
        model: human-readable name of the model.
        read_options: options of reading the input; `on_error` also applies to an item that cannot be processed.
        seed: seed from which the seed of each line is derived.
        concurrency: maximum number of requests at a time.
        overwrite: whether to start over if there is an output.
    """

    generator: Generator
    _: KW_ONLY
    input: Source
    output: str
    digest: str
    model: str = ""
    read_options: ReadOptions = field(default_factory=ReadOptions)
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    concurrency: int = 64
    overwrite: bool = False

    noun: ClassVar[str]
    """Name of an input item in errors."""

    nouns: ClassVar[tuple[str, str]]
    """Name of an output text, in singular and plural."""

    @abstractmethod
    def reader(self) -> Reader[Any, Any, Any]:
        """Return a reader of the input."""

    @abstractmethod
    def start(self, index: int, item: ItemT) -> ReplyHandle[ResultT]:
        """Start the request of an item, with its index from 0; raise ValueError if the model cannot process it."""

    @abstractmethod
    def line(self, item: ItemT, result: ResultT) -> tuple[str, bool]:
        """Return the output line of an item without its newline, and whether it contains a text."""

    @abstractmethod
    def error_line(self, item: ItemT, error: str) -> str:
        """Return the output line of an item whose request failed."""

    def about(self) -> dict[str, Any]:
        """Return all settings that determine the output lines; the entry "named" has human-readable names."""
        options = {**self.generator.options, **self.options}
        return {
            "named": {"input": source_name(self.input), "model": self.model},
            "input": self.reader().fingerprint(),
            "model": self.digest,
            "options": {name: _to_json(value) for name, value in sorted(options.items())},
            "seed": self.seed,
        }

    def seed_of(self, index: int) -> int:
        """Return the seed of a line from its index; it does not depend on the other lines."""
        return derive_seed(self.seed, index) % 2**32  # small enough for the numbers of any JSON parser


@dataclass(frozen=True)
class ReplyJob(Job[Conversation, Reply]):
    """Replies to a file of conversations of any format; a conversation may have a single turn.

    Args:
        last: whether the reply replaces the last turn, which is kept as the gold response, instead of following it.
        persona: persona for conversations without one.
        speaker: name of the speaker who replies in conversations with names; with `last` it is the last speaker.
    """

    generator: Responder
    last: bool = False
    persona: tuple[str, ...] = ()
    speaker: str | None = None

    noun = "conversation"
    nouns = ("reply", "replies")

    def reader(self) -> ConversationReader:
        min_turns = 2 if self.last else 1
        return ConversationReader(self.input, self.read_options, min_turns=min_turns, named=True)

    def about(self) -> dict[str, Any]:
        about = super().about() | {"persona": list(self.persona), "last": self.last}
        return about if self.speaker is None else about | {"speaker": self.speaker}

    def start(self, index: int, item: Conversation) -> ReplyHandle[Reply]:
        given = self._given(item)
        names: Names = {} if given.speakers is None else {"speakers": given.speakers, "speaker": given.speaker}
        how: dict[str, Any] = {"persona": item.persona or self.persona, "options": self.options}
        return self.generator.start(given.context, **how, seed=self.seed_of(index), **names)

    def line(self, item: Conversation, result: Reply) -> tuple[str, bool]:
        """Return a conversation that ends with the reply. An empty reply is not a valid turn and is left out."""
        texts = [candidate.text for candidate in result.candidates]
        response = next((text for text in texts if text.strip()), None)
        meta = {**(item.meta or {}), "responses": texts, **_provenance(result)}
        given = self._given(item)
        if self.last:
            meta["gold"] = given.gold
        meta |= {"finish": result.finish, "seed": result.seed, "turns_dropped": result.turns_dropped}
        replies = [response] if response is not None else []
        names = None if given.speakers is None else [*given.speakers, *[given.speaker or ""] * len(replies)]
        return dump([*given.context, *replies], item.persona or self.persona, meta, names), response is not None

    def error_line(self, item: Conversation, error: str) -> str:
        given = self._given(item)
        return dump(given.context, item.persona, {**(item.meta or {}), "error": error}, given.speakers)

    def _given(self, conversation: Conversation) -> "_Given":
        """Return the context of a conversation, without the turn that is replaced."""
        turns, names = conversation.turns, conversation.speakers
        if names is None or (self.speaker is None and not self.last):
            turns = conversation.alternating().turns
            return _Given(turns[:-1], gold=turns[-1]) if self.last else _Given(turns)
        if not self.last:
            return _Given(turns, names, self.speaker)
        size = max(turn for turn, name in enumerate(names, 1) if name != names[-1])
        return _Given(turns[:size], names[:size], names[-1], gold="\n".join(turns[size:]))


class _Given(NamedTuple):
    """A context, the names of its speakers, the name of the speaker who replies, and the turn that is replaced."""

    context: tuple[str, ...]
    speakers: tuple[str, ...] | None = None
    speaker: str | None = None
    gold: str = ""


def _provenance(reply: Reply) -> dict[str, Any]:
    """Return scores and sources of the candidates, as lists with one entry per candidate."""
    fields: dict[str, Any] = {}
    candidates = reply.candidates
    if any(candidate.score is not None for candidate in candidates):
        fields["scores"] = [round_score(candidate.score) for candidate in candidates]
    if reply.ranked_by:
        fields["ranked_by"] = reply.ranked_by
    if reply.confidence is not None:
        fields["confidence"] = round_score(reply.confidence)
    if reply.min_score is not None:
        fields["min_score"] = round_score(reply.min_score)
    if any(candidate.source != "written" or candidate.scores for candidate in candidates):
        fields["provenance"] = [_source_fields(candidate) for candidate in candidates]
    return fields


def _source_fields(candidate: Candidate) -> dict[str, Any]:
    fields: dict[str, Any] = {"source": candidate.source}
    if candidate.number is not None:
        fields["number"] = candidate.number
    if candidate.metadata:
        fields["metadata"] = dict(candidate.metadata)
    if candidate.scores:
        fields["scores"] = {stage: round_score(score) for stage, score in candidate.scores.items()}
    return fields


@dataclass(frozen=True)
class DocumentJob(Job[Prompt, "DocumentModelOutput"]):
    """Documents for a file of prompts."""

    generator: DocumentGenerator

    noun = "prompt"
    nouns = ("text", "prompts")

    def reader(self) -> PromptReader:
        return PromptReader(self.input, self.read_options)

    def start(self, index: int, item: Prompt) -> "ReplyHandle[DocumentModelOutput]":
        return self.generator.start(item.prompt, meta=item.meta, options=self.options, seed=self.seed_of(index))

    def line(self, item: Prompt, result: "DocumentModelOutput") -> tuple[str, bool]:
        fields = _prompt_fields(item) | {"texts": list(result.texts)}
        if any(score is not None for score in result.scores):
            fields["scores"] = [round_score(score) for score in result.scores]
        fields |= {"finishes": list(result.finishes), "seed": result.seed, "tokens_dropped": result.tokens_dropped}
        if result.documents[0].strip():
            fields = {"body": result.documents[0], **fields}
        return encode_json(fields), any(text.strip() for text in result.texts)

    def error_line(self, item: Prompt, error: str) -> str:
        return encode_json(_prompt_fields(item) | {"error": error})


def _prompt_fields(item: Prompt) -> dict[str, Any]:
    return {"prompt": item.prompt, **({} if item.meta is None else {"meta": item.meta}), **item.other_fields}


def folder_digest(name: str) -> str:
    """Return a digest of a model's file or of the files in its folder; the name itself if neither exists."""
    folder = Path(name)
    if folder.is_file():
        return files_digest(name)
    if not folder.is_dir():
        return name
    suffixes = (".safetensors", ".json", ".jinja", ".txt")
    return _digest(folder, (path for path in folder.iterdir() if path.is_file() and path.suffix in suffixes))


def files_digest(name: str) -> str:
    """Return a digest of a file, or of all files below a folder. Raises FileNotFoundError for a missing path."""
    top = Path(name)
    return _digest(top, (path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top])


def _digest(top: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        with open(path, "rb") as file:
            digest.update(str(path.relative_to(top)).encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def round_score(score: float | None) -> float | None:
    """Round a score to four digits; return None for an infinite one, which JSON cannot represent.

    More digits would depend on the other requests in the batch. The score of an empty text is infinite.
    """
    return None if score is None or not math.isfinite(score) else round(score, 4)


def _to_json(value: Any) -> Any:
    """Convert a value to a JSON value; a value that JSON cannot represent becomes its `repr`."""
    if isinstance(value, list | tuple):
        return [_to_json(element) for element in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
