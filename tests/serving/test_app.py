"""The application: additional routers, and its end."""

from fastapi import APIRouter

from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of


def test_additional_routers_are_served_and_closing_ends_the_jobs() -> None:
    router = APIRouter()

    @router.get("/extra")
    async def extra() -> str:
        return "more"

    service = service_of(FakeResponder())
    with client_of(service, routers=[router]) as client:
        assert client.get("/extra").json() == "more" and not service.jobs.closing
    assert service.jobs.closing
