"""Generation of documents as jobs; the policy checks their prompts and texts."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmodel.responders.protocol import DocumentGenerator
from convmodel.serving.jobs import JobRunner, JobService
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import SEEDS
from convmodel.serving.safety.policy import BlockReason, Policy

if TYPE_CHECKING:
    from convmodel.models.document_inputs import DocumentModelOutput


@dataclass(frozen=True)
class DocumentRequest:
    """A request for one or more continuations of a prompt.

    Args:
        prompt: beginning of the documents.
        meta: JSON metadata of the documents.
        options: decoding options, merged from the server's, the preset's and the request's.
        seed: random seed; None draws a seed.
    """

    prompt: str = ""
    meta: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of `DocumentGenerator.start`."""
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        return {"prompt": self.prompt, "meta": self.meta, "options": self.options, "seed": seed}


@dataclass(frozen=True)
class CheckedDocuments:
    """Generated documents after the policy's check.

    Args:
        output: the generated documents; None if the policy blocked the prompt.
        shown: indices of the texts that the policy allows.
        blocked: the reason for the first blocked text or for the blocked prompt; None if nothing was blocked.
    """

    output: "DocumentModelOutput | None"
    shown: Sequence[int] = ()
    blocked: BlockReason | None = None

    @property
    def text(self) -> str:
        """The first allowed text; empty if no text is allowed."""
        return self.output.texts[self.shown[0]] if self.output is not None and self.shown else ""

    @property
    def finish(self) -> str:
        """The reason why the first allowed text ended; "filtered" if no text is allowed."""
        return self.output.finishes[self.shown[0]] if self.output is not None and self.shown else "filtered"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of tokens read, written, and read from the cache (always 0); see `CheckedReply.counts`."""
        return (0, 0, 0) if self.output is None else (self.output.tokens_read, sum(self.output.tokens), 0)


class DocumentService(JobService[DocumentRequest, "DocumentModelOutput", CheckedDocuments]):
    """Starts the generation of documents as jobs."""

    def __init__(self, writer: DocumentGenerator, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        super().__init__(
            writer,
            jobs,
            policy,
            count=lambda output: metrics.count_tokens(output.tokens_read, sum(output.tokens)),
            convert=lambda output: CheckedDocuments(output, range(len(output.texts))),
        )
        self.writer = writer

    # Called in the worker threads

    def _check_input(self, policy: Policy, request: DocumentRequest) -> CheckedDocuments | None:
        texts = [text for text in (request.prompt, *_texts(request.meta)) if text.strip()]
        blocked = policy.check_input(texts)
        return None if blocked is None else CheckedDocuments(None, blocked=blocked)

    def _check_output(self, policy: Policy, output: "DocumentModelOutput") -> CheckedDocuments:
        verdicts = [policy.check_output([text]) for text in output.texts]
        shown = [index for index, verdict in enumerate(verdicts) if verdict is None]
        return CheckedDocuments(output, shown, next(filter(None, verdicts), None))


def _texts(meta: Any) -> Iterator[str]:
    """Yield all texts in JSON metadata, including the names of fields."""
    if isinstance(meta, str):
        yield meta
    elif isinstance(meta, Mapping):
        for name, value in meta.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(meta, Sequence):
        for value in meta:
            yield from _texts(value)
