"""Start documents as jobs, and check their prompts and texts against the policy."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from convmodel.responders.protocol import DocumentGenerator, ReplyHandle
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import SEEDS
from convmodel.serving.safety.policy import BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

if TYPE_CHECKING:
    from convmodel.models.document_inputs import DocumentModelOutput


@dataclass(frozen=True)
class DocumentRequest:
    """A request for one or more continuations of a prompt, with the merged options; a seed of None draws one."""

    prompt: str = ""
    meta: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class CheckedDocuments:
    """Documents with the policy's verdict: no output if the prompt was blocked, else the indices of the shown texts."""

    output: "DocumentModelOutput | None"
    shown: Sequence[int] = ()
    blocked: BlockReason | None = None


class DocumentService:
    """Starts documents as jobs, counts them, and checks their input and output."""

    def __init__(self, writer: DocumentGenerator, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        self.writer = writer
        self._jobs = jobs
        self._metrics = metrics
        self._policy = policy

    async def start(self, request: DocumentRequest, *, owner: str, pieces: bool = True) -> AsyncJob[CheckedDocuments]:
        """Start writing; see `ReplyService.start`.

        The job has no pieces where the policy checks the texts as a whole, or blocks the prompt.
        """
        pieces = pieces and (self._policy is None or not self._policy.checks_output)
        starts = [partial(self._start, request)]
        [job] = await self._jobs.start(starts, self._count_and_check, owner=owner, pieces=pieces)
        return job

    # Called in the worker threads

    def _start(self, request: DocumentRequest) -> "ReplyHandle[DocumentModelOutput]":
        if self._policy is not None and self._policy.checks_input:
            texts = [text for text in (request.prompt, *_texts(request.meta)) if text.strip()]
            if (blocked := self._policy.check_input(texts)) is not None:
                raise RejectedBeforeStart(CheckedDocuments(None, blocked=blocked))
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed
        return self.writer.start(request.prompt, meta=request.meta, options=request.options, seed=seed)

    def _count_and_check(self, output: "DocumentModelOutput") -> CheckedDocuments:
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
