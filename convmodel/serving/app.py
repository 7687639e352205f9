"""The ASGI application of a service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from convmodel.serving import openapi
from convmodel.serving.anthropic import routes as anthropic
from convmodel.serving.conversations import routes as conversations
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turns import TurnService
from convmodel.serving.errors import add_handlers
from convmodel.serving.ignored_fields import HEADER
from convmodel.serving.middleware import RequestMiddleware
from convmodel.serving.openai import completions, embeddings
from convmodel.serving.openai import routes as openai
from convmodel.serving.routes import documents, replies, rerank, status
from convmodel.serving.service import Service
from convmodel.serving.static_page import page_router


def create_app(service: Service, *, routers: Iterable[APIRouter] = ()) -> FastAPI:
    """Create the ASGI application of a service.

    Without API keys, the application answers only requests to a host name in `service.settings.hosts`; a test client
    needs `base_url="http://localhost"`. The service is available as `app.state.service`, and is closed when the
    application shuts down.

    Args:
        routers: additional routers.
    """
    own = (status.router, conversations.router, replies.router, documents.router, rerank.router, anthropic.router)
    every = (*own, openai.router, completions.router, embeddings.router, page_router(), *routers, openapi.router)
    lifespan = partial(_lifespan, every)
    app = FastAPI(title="convmodel", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.service = service
    app.state.turns = None if service.store is None else TurnService(Conversations(service.store, service))
    for router in every:
        app.router.routes += router.routes  # faster than include_router, which builds each route a second time
    app.openapi = openapi.openapi_of(app, service)  # type: ignore[method-assign]
    add_handlers(app)
    app.add_middleware(RequestMiddleware, service=service)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=["X-Request-Id", "Request-Id", "Retry-After", HEADER],
        )
    return app


@contextlib.asynccontextmanager
async def _lifespan(routers: Sequence[APIRouter], app: FastAPI) -> AsyncIterator[None]:
    """Run the lifespans of all routers; after their shutdown, cancel open jobs and close the service."""
    async with contextlib.AsyncExitStack() as stack:
        for router in routers:
            await stack.enter_async_context(router.lifespan_context(app))
        yield
    service: Service = app.state.service
    await service.jobs.shut_down(0)
    await asyncio.to_thread(service.close)
