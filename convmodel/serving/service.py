"""The service: all objects that requests share, and the dependencies that hand it to routes."""

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
    """The shared objects of a server for a responder, a document writer, selectors, or several of them.

    Args:
        responder, writer: the models; without a responder, `store` is ignored.
        selector: embeds texts, and ranks them if there is no reranker.
        reranker: ranks texts.
        title: the name of the model, or models, for people.
        model: the name of the model in /v1/models.
        adapters: what replies with each adapter over the responder's model, by the name of the model in /v1/models.
        context_length: number of tokens that the model reads at once, its reply included; None if unknown.
        settings, keys: limits and switches; the API keys.
        policy: checks input and output; None allows everything.
        persona: used for requests without a persona.
        preset: used for requests without a preset; None means the model's own options.
        options: merged into the preset, below the options of a request.
        store: stores conversations, and is closed with the service.
        keep_for: age without a change after which a conversation is deleted; None keeps conversations for ever.
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
        """Readiness checks by name; each raises an exception on failure, and is called in a thread."""
        self.parent: str | None = None
        """The name of the model under the adapter with which this service replies; None without an adapter."""
        self.models: dict[str, Service] = {self.model: self}
        """The service of each model, by its name: they share everything but what replies. The first is the server's."""
        for name, each in (adapters or {}).items():
            self.models[name] = self._over(name, ReplyService(each, *parts))

    def _over(self, name: str, replies: ReplyService) -> "Service":
        """Return the service that replies with an adapter."""
        service = copy.copy(self)
        service.model = name
        service.parent = self.model
        service.replies = replies
        service.documents = None
        return service

    def named(self, model: str | None) -> "Service":
        """Return the service of a model; raise APIError 404 for another name. None means the server's own model."""
        if model is None:
            return self
        if model not in self.models:
            names = ", ".join(map(repr, self.models))
            message = f"there is no model of this name; this server has {names}"
            raise APIError(404, message, param="model", code="model_not_found")
        return self.models[model]

    @property
    def talker(self) -> "Responder | DocumentGenerator | None":
        """The responder, or else the document writer: its options and presets are the server's defaults."""
        if self.replies is not None:
            return self.replies.responder
        return None if self.documents is None else self.documents.writer

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name."""
        return {} if self.talker is None else self.talker.presets

    @property
    def searches(self) -> bool:
        """Whether there are candidates to search."""
        return isinstance(self.talker, CandidateSearch) and self.talker.searches

    def close(self) -> None:
        """Cancel all jobs and close the store."""
        self.jobs.close()
        if self.store is not None:
            self.store.close()


def require_replies(service: Service) -> ReplyService:
    """Return the service that starts replies; raise APIError 404 on a server without a model that replies."""
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
