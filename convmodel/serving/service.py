"""The service: all objects that requests share, and the dependencies that hand it to routes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Request

from convmodel.responders.protocol import CandidateSearch, DocumentGenerator, Responder
from convmodel.serving.auth import Keys
from convmodel.serving.document_jobs import DocumentService
from convmodel.serving.jobs import JobRunner
from convmodel.serving.limits import Rate
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import ReplyService
from convmodel.serving.safety.policy import Policy
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store


@dataclass
class Service:
    """The shared objects of a server. Use `new_service` to create one.

    Args:
        title: the name of the model, or models, for people.
        model: the name of the model in /v1/models.
        settings, jobs, metrics, keys, rate: see these classes.
        replies: None for a server that does not reply.
        documents: None for a server that does not write documents.
        policy: checks input and output; None allows everything.
        persona: used for requests without a persona.
        preset: used for requests without a preset; None means the model's own options.
        options: merged into the preset, below the options of a request.
        ready: readiness checks by name; each raises an exception on failure, and is called in a thread.
        store: stores conversations; None for a server that keeps none. It is closed with the service.
        keep_for: age without a change after which a conversation is deleted; None keeps conversations for ever.
        created: the time when the model was loaded, in seconds since 1970.
    """

    title: str
    model: str
    settings: Settings
    jobs: JobRunner
    metrics: Metrics
    keys: Keys
    rate: Rate
    replies: ReplyService | None = None
    documents: DocumentService | None = None
    policy: Policy | None = None
    persona: Sequence[str] = ()
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ready: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    store: Store | None = None
    keep_for: timedelta | None = None
    created: int = field(default_factory=lambda: int(time.time()))

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


def new_service(
    responder: Responder | None = None,
    *,
    writer: DocumentGenerator | None = None,
    title: str = "model",
    model: str = "model",
    settings: Settings | None = None,
    keys: Keys | None = None,
    policy: Policy | None = None,
    store: Store | None = None,
    **others: Any,
) -> Service:
    """Create a service for a responder, a document writer, or both; for the other arguments see `Service`.

    A store is ignored without a responder, since nothing would reply in its conversations.
    """
    if responder is None:
        store = None
    settings = settings or Settings()
    metrics = Metrics()
    jobs = JobRunner(settings)
    metrics.watch("open_replies", "Replies that are running or waiting.", lambda: jobs.limit.open)
    if policy is not None:
        metrics.watch_policy(policy)
    talker = responder or writer
    if talker is not None:
        metrics.watch("model_running", "Requests that the model is working on.", lambda: talker.load.running)
        metrics.watch("model_waiting", "Requests that wait for the model.", lambda: talker.load.waiting)
    return Service(
        title=title,
        model=model,
        settings=settings,
        jobs=jobs,
        metrics=metrics,
        keys=keys or Keys(),
        rate=Rate(settings.requests_per_minute),
        replies=None if responder is None else ReplyService(responder, jobs=jobs, metrics=metrics, policy=policy),
        documents=None if writer is None else DocumentService(writer, jobs=jobs, metrics=metrics, policy=policy),
        policy=policy,
        ready={} if store is None else {"store": store.check},
        store=store,
        **others,
    )


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
