"""`POST /v1/completions`: continuations of prompts, as JSON or as a stream, in OpenAI's older format.

A document writer continues the prompt. A server without one replies to the prompt as the only turn of a conversation.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from convmodel.serving.document_jobs import CheckedDocuments, DocumentRequest
from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import LenientModel, Report, report_fields
from convmodel.serving.openai.embeddings import reject_token_ids
from convmodel.serving.openai.routes import ChoiceStream
from convmodel.serving.openai.schemas import DecodingFields, FinishReason, Usage
from convmodel.serving.openai.translate import choice_seeds, convert_finish_reason, decoding_options
from convmodel.serving.openai.unsupported import Empty, No, Only
from convmodel.serving.reply_jobs import CheckedReply, ReplyRequest
from convmodel.serving.request_options import check_count, check_texts, resolve_options
from convmodel.serving.schemas import ResponseModel, example, stream_responses
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(prefix="/v1", tags=["OpenAI"])

CheckedText = CheckedReply | CheckedDocuments


class CompletionsRequest(DecodingFields, LenientModel):
    """Prompts to continue. `preset` and `options` are extensions; OpenAI's client sends them as `extra_body`."""

    model_config = example(model="model", prompt="Once upon a time", max_tokens=50)

    model: str = Field(description="name of a model in /v1/models")
    prompt: Annotated[str | Annotated[list[str], Field(min_length=1)], BeforeValidator(reject_token_ids)] = Field(
        description="a prompt, or a list of prompts; token ids are not supported"
    )
    echo: bool | None = Field(None, description="whether the text begins with the prompt")
    best_of: Annotated[int, WithJsonSchema({"const": 1})] | None = Field(
        None, description="only 1 and the value of n are supported"
    )
    suffix: Only[Literal[""]] = None
    logprobs: Only[No] = None
    logit_bias: Only[Empty] = None

    def prompts(self) -> list[str]:
        """Return the prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextChoice(ResponseModel):
    """A generated text."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: FinishReason


class CompletionsBody(ResponseModel):
    """The response body with the generated texts."""

    id: str = Field(examples=["cmpl-5f1c0a1d"])
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


@router.post(
    "/completions",
    summary="Create a completion",
    response_model=CompletionsBody,
    responses=stream_responses(
        CompletionsBody, "`data: {chunk}`, the last of each text with `finish_reason`, then `data: [DONE]`."
    ),
)
async def complete(body: CompletionsRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Continue each prompt `n` times. 404 on a server that neither writes documents nor replies."""
    if service.documents is None and service.replies is None:
        message = "nothing writes here; start the server with --documents or --model; see /about"
        raise APIError(404, message, code="no_completions")
    report = report_fields(request, body)
    service = service.named(body.model)
    _check_counts(service, body)
    jobs = await _start(service, body, owner, report)
    return await TextStream(service, body, jobs).respond(request)


def _check_counts(service: Service, body: CompletionsRequest) -> None:
    """Raise APIError 400 for too many, too long or empty prompts, or too many texts per prompt."""
    check_texts(service, body.prompts(), param="prompt")
    if service.documents is None and not all(map(str.strip, body.prompts())):
        message = "prompt: a prompt is empty, and there is nothing to reply to; give each of them text"
        raise APIError(400, message, param="prompt", code="invalid_value")
    n = body.n or 1
    check_count("n", n, service.settings.n)
    if body.best_of not in (None, 1, n):
        message = f"best_of={body.best_of}; only 1 and the value of n ({n}) are supported"
        raise APIError(400, message, param="best_of", code="unsupported_parameter")


async def _start(
    service: Service, body: CompletionsRequest, owner: str, report: Report
) -> Sequence[AsyncJob[CheckedText]]:
    """Start a job for each text: `n` jobs for the first prompt, then `n` for the second, and so on."""
    options = resolve_options(
        service, body.preset, None if body.options is None else body.options.given(), documents=True
    )
    options |= decoding_options(service, body, options, report=report, documents=True)
    seeds = choice_seeds(body, secrets.randbelow)
    others: dict[str, Any] = {"owner": owner, "user": body.user, "pieces": bool(body.stream)}
    pairs = [(prompt, seed) for prompt in body.prompts() for seed in seeds]
    if service.documents is not None:
        documents = [DocumentRequest(prompt, options=options, seed=seed) for prompt, seed in pairs]
        return cast(Sequence[AsyncJob[CheckedText]], await service.documents.start(documents, **others))
    assert service.replies is not None
    replies = [ReplyRequest([prompt], tuple(service.persona), options, seed) for prompt, seed in pairs]
    return cast(Sequence[AsyncJob[CheckedText]], await service.replies.start(replies, **others))


class TextStream(ChoiceStream[CheckedText]):
    """The texts of a completion: `n` for the first prompt, then `n` for the second, and so on."""

    prefix = "cmpl"
    chunk_object = "text_completion"
    body_class = CompletionsBody

    def __init__(self, service: Service, body: CompletionsRequest, jobs: Sequence[AsyncJob[CheckedText]]) -> None:
        super().__init__(service, body, jobs)
        self._beginnings = [prompt if body.echo else "" for prompt in body.prompts() for _ in range(self._n)]

    def _choice(self, index: int, text: CheckedText) -> TextChoice:
        finish_reason = convert_finish_reason(text)
        return TextChoice(index=index, text=self._beginnings[index] + text.text, finish_reason=finish_reason)

    def _first_deltas(self) -> Iterator[dict[str, Any]]:
        return (self._delta(index, beginning) for index, beginning in enumerate(self._beginnings) if beginning)

    def _delta(self, index: int, item: str | CheckedText) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "text": "", "logprobs": None, "finish_reason": None}
        return choice | ({"text": item} if isinstance(item, str) else {"finish_reason": convert_finish_reason(item)})
