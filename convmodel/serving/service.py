"""Everything that a request needs, in one place."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from convmodel.responders.protocol import CandidateSearch, ReportsLoad, Responder
from convmodel.serving.auth import Keys
from convmodel.serving.document_jobs import Documents, WritesDocuments
from convmodel.serving.jobs import JobRunner
from convmodel.serving.limits import Rate
from convmodel.serving.metrics import Metrics
from convmodel.serving.reply_jobs import Policy, Replies
from convmodel.serving.search_jobs import Search
from convmodel.serving.settings import Settings


@dataclass
class Service:
    """What a server is made of. `new_service` makes one.

    Args:
        title: what replies, for a person.
        model: its name in /v1/models.
        settings: limits and switches.
        makings: what is being made.
        metrics: what is counted.
        keys: who may ask.
        rate: how often.
        replies: has replies made; None where nothing replies.
        documents: has documents written; None where nothing writes any.
        search: has candidates searched; None where nothing chooses.
        policy: what may be said; None is everything.
        persona: used where a request gives none.
        preset: used where a request names none; None is the model's own options.
        options: on top of the preset, where a request does not say otherwise.
        ready: for each thing that must work, its name and what raises when it does not; called in threads.
        conversations: what keeps them; None where nothing does.
        closing: called in the end.
        created: when the model was opened, in seconds since 1970.
    """

    title: str
    model: str
    settings: Settings
    makings: JobRunner
    metrics: Metrics
    keys: Keys
    rate: Rate
    replies: Replies | None = None
    documents: Documents | None = None
    search: Search | None = None
    policy: Policy | None = None
    persona: Sequence[str] = ()
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ready: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    conversations: Any = None
    closing: list[Callable[[], object]] = field(default_factory=list)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def talker(self) -> "Responder | WritesDocuments | None":
        """Whose options and presets count."""
        if self.replies is not None:
            return self.replies.responder
        return None if self.documents is None else self.documents.writer

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name."""
        return {} if self.talker is None else self.talker.presets

    def close(self) -> None:
        """Stops what is being made and frees what is held."""
        self.makings.close()
        for close in self.closing:
            close()


def new_service(
    responder: Responder | None = None,
    *,
    writer: WritesDocuments | None = None,
    title: str = "model",
    model: str = "model",
    settings: Settings | None = None,
    keys: Keys | None = None,
    policy: Policy | None = None,
    **others: Any,
) -> Service:
    """A service on whatever replies, writes documents, or chooses.

    Args:
        responder: replies.
        writer: writes documents.
        title, model, settings, keys, policy, others: see `Service`.
    """
    settings, metrics = settings or Settings(), Metrics()
    makings = JobRunner(settings)
    metrics.watch("open_replies", "Replies that are being made or wait.", lambda: makings.places.open)
    if policy is not None:
        metrics.watch_policy(policy)

    talker = responder or writer
    if isinstance(talker, ReportsLoad):
        metrics.watch_load(talker)
    return Service(
        title=title,
        model=model,
        settings=settings,
        makings=makings,
        metrics=metrics,
        keys=keys or Keys(),
        rate=Rate(settings.requests_per_minute),
        replies=None if responder is None else Replies(responder, makings=makings, metrics=metrics, policy=policy),
        documents=None if writer is None else Documents(writer, makings=makings, metrics=metrics, policy=policy),
        search=Search(responder, makings=makings, policy=policy)
        if isinstance(responder, CandidateSearch) and responder.searches
        else None,
        policy=policy,
        **others,
    )


# Those that wait for nothing: were they no coroutines, each would be called in a thread.


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def _owner(request: Request) -> str:
    return str(request.state.owner)


TheService = Annotated[Service, Depends(_service)]
"""The type of a route's argument that is the service."""

Owner = Annotated[str, Depends(_owner)]
"""The type of a route's argument that is who asks."""
