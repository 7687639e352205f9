"""Prompts and a writer of documents in, a file of texts out."""

from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.runner import BatchTask, Line, Result, ShowProgress, rounded, run_job
from convmodel.data.lines import encode
from convmodel.data.prompts import Prompt, PromptReader
from convmodel.responders.document_protocol import DocumentHandle, WritesDocuments


@dataclass(frozen=True, kw_only=True)
class DocumentFileJob(Job):
    """Texts for a file of prompts."""

    def reader(self) -> PromptReader:
        """Reads the input."""
        return PromptReader(self.input, format=self.format, on_error=self.on_error)


def write_to_file(writer: WritesDocuments, job: DocumentFileJob, *, digest: str, show: ShowProgress) -> Result:
    """Goes on with each prompt of a file; see `fill`."""
    return run_job(_Texts(writer, job), digest=digest, show=show)


class _Texts(BatchTask[WritesDocuments, DocumentFileJob, Prompt, DocumentHandle]):
    """Texts for each prompt."""

    noun = "prompt"
    nouns = ("text", "prompts")

    def begin(self, number: int, item: Prompt) -> DocumentHandle:
        return self.maker.start(item.prompt, meta=item.meta, options=self.job.options, seed=self.job.seed_of(number))

    def line(self, item: Prompt, work: DocumentHandle) -> Line:
        output = work.output()
        found = _asked(item) | {"texts": list(output.texts)}
        if any(score is not None for score in output.scores):
            found["scores"] = [rounded(score) for score in output.scores]
        found |= {"finishes": list(output.finishes), "seed": output.seed, "tokens_dropped": output.tokens_dropped}
        if output.documents[0].strip():
            found = {"body": output.documents[0], **found}
        return Line(encode(found), not any(text.strip() for text in output.texts))

    def line_without(self, item: Prompt, error: str) -> str:
        return encode(_asked(item) | {"error": error})


def _asked(item: Prompt) -> dict[str, Any]:
    return {"prompt": item.prompt, **({} if item.meta is None else {"meta": item.meta}), **item.others}
