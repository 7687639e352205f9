"""Batch generation of documents from a file of prompts."""

from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.runner import BatchTask, Line, Result, ShowProgress, round_score, run_job
from convmodel.data.lines import encode_json
from convmodel.data.prompts import Prompt, PromptReader
from convmodel.responders.document_protocol import DocumentGenerator, DocumentOutput
from convmodel.responders.protocol import ReplyHandle


@dataclass(frozen=True, kw_only=True)
class DocumentFileJob(Job):
    """Documents for a file of prompts."""

    def reader(self) -> PromptReader:
        """Return a reader of the input."""
        return PromptReader(self.input, format=self.format, on_error=self.on_error)


def write_to_file(writer: DocumentGenerator, job: DocumentFileJob, *, digest: str, show: ShowProgress) -> Result:
    """Continue each prompt of a file; see `run_job`."""
    return run_job(_DocumentTask(writer, job), digest=digest, show=show)


@dataclass(frozen=True)
class _DocumentTask(BatchTask[Prompt, DocumentOutput]):
    """Documents for each prompt."""

    generator: DocumentGenerator
    job: DocumentFileJob

    noun = "prompt"
    nouns = ("text", "prompts")

    def start(self, index: int, item: Prompt) -> ReplyHandle[DocumentOutput]:
        seed = self.job.seed_of(index)
        return self.generator.start(item.prompt, meta=item.meta, options=self.job.options, seed=seed)

    def line(self, item: Prompt, result: DocumentOutput) -> Line:
        fields = _prompt_fields(item) | {"texts": list(result.texts)}
        if any(score is not None for score in result.scores):
            fields["scores"] = [round_score(score) for score in result.scores]
        fields |= {"finishes": list(result.finishes), "seed": result.seed, "tokens_dropped": result.tokens_dropped}
        if result.documents[0].strip():
            fields = {"body": result.documents[0], **fields}
        return Line(encode_json(fields), not any(text.strip() for text in result.texts))

    def error_line(self, item: Prompt, error: str) -> str:
        return encode_json(_prompt_fields(item) | {"error": error})


def _prompt_fields(item: Prompt) -> dict[str, Any]:
    return {"prompt": item.prompt, **({} if item.meta is None else {"meta": item.meta}), **item.other_fields}
