"""Start documents as jobs, and check their prompts and texts against the policy."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.responders.protocol import DocumentGenerator, DocumentOutput, ReplyHandle
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import SEEDS, BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

__all__ = ["CheckedDocuments", "DocumentGenerator", "DocumentRequest", "DocumentService"]


@dataclass(frozen=True)
class DocumentRequest:
    """A request for one or more continuations of a prompt.

    Args:
        prompt: the beginning of the document; may be empty.
        meta: the document's metadata.
        options: the options of the preset and of the request, merged.
        seed: makes the texts reproducible; None draws one.
    """

    prompt: str = ""
    meta: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class CheckedDocuments:
    """Documents with the policy's verdict.

    Args:
        output: the generated texts; None if the prompt was blocked.
        shown: indices of the texts that may be shown.
        blocked: the reason why texts are missing, if some are.
    """

    output: DocumentOutput | None
    shown: Sequence[int] = ()
    blocked: BlockReason | None = None


class DocumentService:
    """Starts documents as jobs; the arguments are those of `ReplyService`."""

    def __init__(
        self, writer: DocumentGenerator, *, jobs: JobRunner, metrics: Metrics, policy: Policy | None = None
    ) -> None:
        self.writer = writer
        self._jobs = jobs
        self._metrics = metrics
        self._policy = policy

    async def start(
        self, request: DocumentRequest, *, owner: str, user: str | None = None, pieces: bool = True
    ) -> AsyncJob[CheckedDocuments]:
        """Start writing. Arguments and errors are those of `ReplyService.start`.

        The job has no pieces where the policy checks the texts as a whole, or blocks the prompt.
        """
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed

        def start() -> ReplyHandle[DocumentOutput]:
            self._check_input(request)
            return self.writer.start(request.prompt, meta=request.meta, options=request.options, seed=seed)

        pieces = pieces and (self._policy is None or not self._policy.checks_output)
        self._jobs.acquire(1, owner=owner, user=user)
        return await self._jobs.start(start, self._count_and_check, owner=owner, user=user, pieces=pieces)

    # Called in the worker threads

    def _check_input(self, request: DocumentRequest) -> None:
        """Raise RejectedBeforeStart if the policy blocks the prompt or the metadata."""
        if self._policy is None or not self._policy.checks_input:
            return
        texts = [text for text in (request.prompt, *_texts(request.meta)) if text.strip()]
        blocked = self._policy.check_input(texts)
        if blocked is not None:
            raise RejectedBeforeStart(CheckedDocuments(None, blocked=blocked))

    def _count_and_check(self, output: DocumentOutput) -> CheckedDocuments:
        self._metrics.count_tokens(output.tokens_read, sum(output.tokens))
        indices = range(len(output.texts))
        if self._policy is None or not self._policy.checks_output:
            return CheckedDocuments(output, indices)
        verdicts = [self._policy.check_output([text]) for text in output.texts]
        blocked = next(filter(None, verdicts), None)
        return CheckedDocuments(output, [index for index in indices if verdicts[index] is None], blocked)


def _texts(meta: Any) -> Iterator[str]:
    """Yield every text of the metadata, field names included."""
    if isinstance(meta, str):
        yield meta
    elif isinstance(meta, Mapping):
        for name, value in meta.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(meta, Sequence):
        for value in meta:
            yield from _texts(value)
