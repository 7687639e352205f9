"""Liveness and readiness."""

from convmodel.serving.service import new_service
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of


def test_a_failing_check_makes_the_server_unready_and_not_dead() -> None:
    def broken() -> None:
        raise OSError("secret")

    service = new_service(FakeResponder())
    with client_of(service) as client:
        assert client.get("/ready").json() == {"status": "ok"}
        service.ready = {"store": broken}
        error = error_of(client.get("/ready"), 503)
        assert error["code"] == "not_ready" and "store" in error["message"] and "secret" not in error["message"]
        assert client.get("/health").json() == {"status": "ok"}
