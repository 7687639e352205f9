"""Description, liveness and readiness of a server."""

from convmodel.serving.schemas import Options
from convmodel.serving.service import Service
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of, service_of


def test_only_the_options_of_the_responder_are_described() -> None:
    fake = FakeResponder()
    with client_of(service_of(fake, new_tokens=50)) as client:
        about = client.get("/about").json()
    assert set(about["option_help"]) <= set(Options.model_fields) - {"num_beams"} and about["option_help"]
    for name in about["option_help"]:
        fake.check_options({name: None})
    assert about["limits"]["new_tokens"] == 50 and about["keys"] is about["policy"] is False


def test_a_failing_check_makes_the_server_unready_but_not_dead() -> None:
    def broken() -> None:
        raise OSError("secret")

    service = Service(FakeResponder())
    with client_of(service) as client:
        assert client.get("/ready").json() == {"status": "ok"}
        service.ready = {"store": broken}
        error = error_of(client.get("/ready"), 503)
        assert error["code"] == "not_ready" and "store" in error["message"] and "secret" not in error["message"]
        assert client.get("/health").json() == {"status": "ok"}
