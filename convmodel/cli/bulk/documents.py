"""Batch generation of documents from a file of prompts."""

from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job, round_score
from convmodel.data.json_text import encode_json
from convmodel.data.prompts import Prompt, PromptReader
from convmodel.responders.protocol import DocumentGenerator, DocumentOutput, ReplyHandle


@dataclass(frozen=True)
class DocumentJob(Job[Prompt, DocumentOutput]):
    """Documents for a file of prompts."""

    generator: DocumentGenerator

    noun = "prompt"
    nouns = ("text", "prompts")

    def reader(self) -> PromptReader:
        return PromptReader(self.input, format=self.format, on_error=self.on_error)

    def start(self, index: int, item: Prompt) -> ReplyHandle[DocumentOutput]:
        return self.generator.start(item.prompt, meta=item.meta, options=self.options, seed=self.seed_of(index))

    def line(self, item: Prompt, result: DocumentOutput) -> tuple[str, bool]:
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
