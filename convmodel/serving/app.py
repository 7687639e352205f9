"""A Service in, an application that answers requests out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from convmodel.serving import openapi
from convmodel.serving.conversations import routes as conversations
from convmodel.serving.errors import add_handlers
from convmodel.serving.middleware import RequestMiddleware
from convmodel.serving.openai import routes as openai
from convmodel.serving.routes import about, candidates, documents, health, replies
from convmodel.serving.service import Service
from convmodel.serving.static_page import page_router

ROUTERS = [
    *(about.router, conversations.router, replies.router, documents.router, candidates.router),
    *(openai.router, health.router),
]
"""What every server answers, beside the page."""


def create_app(service: Service, *, routers: Iterable[APIRouter] = ()) -> FastAPI:
    """Makes the application.

    Without keys it answers only those that call it by a name of `service.settings.hosts`: a test client needs
    `base_url="http://localhost"`.

    Args:
        service: all that requests need; it stands in `app.state.service`, and is closed when the application ends.
        routers: what is answered beside `ROUTERS` and the page.
    """
    app = FastAPI(
        title="convmodel",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_closing_at_the_end,
    )
    app.state.service = service
    for router in (*ROUTERS, page_router(), *routers, openapi.router):
        app.include_router(router)
    app.openapi = openapi.Description(app, service)  # type: ignore[method-assign]
    add_handlers(app)
    app.add_middleware(RequestMiddleware, service=service)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return app


@contextlib.asynccontextmanager
async def _closing_at_the_end(app: FastAPI) -> AsyncIterator[None]:
    yield
    service: Service = app.state.service
    await service.makings.end(0)
    await asyncio.to_thread(service.close)
