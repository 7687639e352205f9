"""A prompt in, pieces of a document and all its texts out, awaited; the policy sees them too."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.responders.document_protocol import DocumentHandle, Output, WritesDocuments
from convmodel.serving.jobs import CompletedJob, JobRunner, Made, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import SEEDS, Blocked, Policy

__all__ = ["CheckedDocuments", "DocumentRequest", "Documents", "WritesDocuments"]


@dataclass(frozen=True)
class DocumentRequest:
    """How a document begins.

    Args:
        prompt: its first words; may be empty.
        meta: what is known of it.
        options: of the preset and of the request, as one.
        seed: with it the same request gives the same texts.
    """

    prompt: str = ""
    meta: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class CheckedDocuments:
    """Documents that may be shown.

    Args:
        output: as they were written; None where the prompt was blocked.
        shown: the numbers of the texts that may be shown.
        blocked: why texts are missing, if some are.
    """

    output: Output | None
    shown: Sequence[int] = ()
    blocked: Blocked | None = None


class _PromptBlocked(RejectedBeforeStart):
    """Nothing is written."""

    def __init__(self, blocked: Blocked) -> None:
        self.blocked = blocked


class Documents:
    """Has documents written; arguments as for `Replies`."""

    def __init__(
        self, writer: WritesDocuments, *, makings: JobRunner, metrics: Metrics, policy: Policy | None = None
    ) -> None:
        self.writer = writer
        self._makings, self._metrics, self._policy = makings, metrics, policy

    async def begin(
        self, begun: DocumentRequest, *, owner: str, user: str | None = None, pieces: bool = True
    ) -> Made[CheckedDocuments] | CompletedJob[CheckedDocuments]:
        """Begins to write; arguments and Refusals as those of `Replies.begin`.

        Whoever stops waiting calls `stop`, in a `finally`. There are no pieces where only the whole is checked, or
        nothing is written.
        """
        seed = secrets.randbelow(SEEDS) if begun.seed is None else begun.seed

        def start() -> DocumentHandle:
            self._let_in(begun)
            return self.writer.start(begun.prompt, meta=begun.meta, options=begun.options, seed=seed)

        held = self._policy is not None and self._policy.checks_output
        self._makings.take(1, owner=owner, user=user)
        try:
            return await self._makings.begin(start, self._written, owner=owner, user=user, pieces=pieces and not held)
        except _PromptBlocked as error:
            return CompletedJob(CheckedDocuments(None, blocked=error.blocked))

    # In the threads

    def _let_in(self, begun: DocumentRequest) -> None:
        if self._policy is None or not self._policy.checks_input:
            return
        texts = [text for text in (begun.prompt, *_texts(begun.meta)) if text.strip()]
        blocked = self._policy.check_input(texts)
        if blocked is not None:
            raise _PromptBlocked(blocked)

    def _written(self, document: DocumentHandle) -> CheckedDocuments:
        output = document.output()
        self._metrics.read_and_written(output.tokens_read, sum(output.tokens))
        numbers = range(len(output.texts))
        if self._policy is None or not self._policy.checks_output:
            return CheckedDocuments(output, numbers)
        found = [self._policy.check_output([text]) for text in output.texts]
        return CheckedDocuments(output, [n for n in numbers if found[n] is None], next(filter(None, found), None))


def _texts(meta: Any) -> Iterator[str]:
    """Every text of a meta."""
    if isinstance(meta, str):
        yield meta
    elif isinstance(meta, Mapping):
        for name, value in meta.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(meta, Sequence):
        for value in meta:
            yield from _texts(value)
