"""The service, an object with everything that requests share, and the FastAPI dependencies that pass it to routes."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Request

from convmodel.responders.protocol import CandidateSearch, DocumentGenerator, Responder
from convmodel.responders.text_selector import TextSelector
from convmodel.serving.auth import Keys
from convmodel.serving.document_jobs import DocumentService
from convmodel.serving.errors import APIError
from convmodel.serving.jobs import JobRunner
from convmodel.serving.limits import Rate
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import ReplyService
from convmodel.serving.safety.policy import Policy
from convmodel.serving.selector_jobs import SelectorService
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store


@dataclass
class Service:
    """The shared objects of a server with a responder, a document writer, selectors, or several of them.

    Args:
        responder: model that replies in conversations. Without it, `store` is ignored.
        writer: model that writes documents.
        selector: model that embeds texts, and also ranks them if there is no reranker.
        reranker: model that ranks texts.
        adapters: responders over the responder's model, one for each adapter, by their names in /v1/models.
        title: human-readable name of the model or models.
        model: name of the model in /v1/models.
        context_length: maximum number of tokens of the model's input and reply together; None if unknown.
        settings: limits and switches.
        keys: the API keys.
        policy: checks input and output texts; None allows all texts.
        persona: sentences for requests without a persona.
        preset: preset for requests without a preset; None means the model's own options.
        options: options that override the preset; options of a request override both.
        store: store of conversations; closed with the service.
        keep_for: time without changes after which a conversation is deleted; None keeps all conversations.
    """

    responder: InitVar[Responder | None] = None
    _: KW_ONLY
    writer: InitVar[DocumentGenerator | None] = None
    selector: InitVar[TextSelector | None] = None
    reranker: InitVar[TextSelector | None] = None
    adapters: InitVar[Mapping[str, Responder] | None] = None
    title: str = "model"
    model: str = "model"
    context_length: int | None = None
    settings: Settings = field(default_factory=Settings)
    keys: Keys = field(default_factory=Keys)
    policy: Policy | None = None
    persona: Sequence[str] = ()
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    store: Store | None = None
    keep_for: timedelta | None = None

    def __post_init__(
        self,
        responder: Responder | None,
        writer: DocumentGenerator | None,
        selector: TextSelector | None,
        reranker: TextSelector | None,
        adapters: Mapping[str, Responder] | None,
    ) -> None:
        self.created = int(time.time())
        self.rate = Rate(self.settings.requests_per_minute)
        self.jobs = JobRunner(self.settings)
        self.metrics = Metrics()
        self.metrics.watch("open_replies", "Replies that are running or waiting.", lambda: self.jobs.limit.open)
        if self.policy is not None:
            self.metrics.watch_policy(self.policy)
        reranker = reranker or selector
        if (model := responder or writer or reranker) is not None:
            self.metrics.watch_load(model)
        parts = (self.jobs, self.metrics, self.policy)
        self.replies = None if responder is None else ReplyService(responder, *parts)
        self.documents = None if writer is None else DocumentService(writer, *parts)
        self.embeddings = None if selector is None else SelectorService(selector, *parts)
        self.rankings = None if reranker is None else SelectorService(reranker, *parts)
        self.store = None if responder is None else self.store
        self.ready: Mapping[str, Callable[[], object]] = {} if self.store is None else {"store": self.store.check}
        """Readiness checks by name: functions that are called in a thread, and raise an exception on failure."""
        self.parent: str | None = None
        """Name of the base model, if this service replies with an adapter; otherwise None."""
        self.models: dict[str, Service] = {self.model: self}
        """The service of each model, by the model's name: first this service, then a copy for each adapter."""
        for name, each in (adapters or {}).items():
            self.models[name] = self._over(name, ReplyService(each, *parts))

    def _over(self, name: str, replies: ReplyService) -> "Service":
        """Return a copy of this service that replies with an adapter called `name`."""
        service = copy.copy(self)
        service.model = name
        service.parent = self.model
        service.replies = replies
        service.documents = None
        return service

    def named(self, model: str | None) -> "Service":
        """Return the service of a model; None means the server's own model. Raise APIError 404 for an unknown name."""
        if model is None:
            return self
        if model not in self.models:
            names = ", ".join(map(repr, self.models))
            message = f"there is no model of this name; this server has {names}"
            raise APIError(404, message, param="model", code="model_not_found")
        return self.models[model]

    @property
    def talker(self) -> "Responder | DocumentGenerator | None":
        """The responder, or without one the document writer; the server's default preset and options apply to it."""
        if self.replies is not None:
            return self.replies.responder
        return None if self.documents is None else self.documents.writer

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """The presets of the talker: sets of options by name."""
        return {} if self.talker is None else self.talker.presets

    @property
    def searches(self) -> bool:
        """Whether the responder has candidates that can be searched."""
        return isinstance(self.talker, CandidateSearch) and self.talker.searches

    def close(self) -> None:
        """Cancel all jobs and close the store."""
        self.jobs.close()
        if self.store is not None:
            self.store.close()


def require_replies(service: Service) -> ReplyService:
    """Return the `ReplyService` of a service; raise APIError 404 if the server has no responder."""
    if service.replies is None:
        message = "nothing replies here; start the server with --model, or with --selector and --candidates; see /about"
        raise APIError(404, message, code="no_replies")
    return service.replies


# The dependencies are coroutines because FastAPI calls plain functions in a thread.


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def _owner(request: Request) -> str:
    return str(request.state.owner)


TheService = Annotated[Service, Depends(_service)]
"""Type of a route argument that receives the service."""

Owner = Annotated[str, Depends(_owner)]
"""Type of a route argument that receives the owner of the request's API key."""
