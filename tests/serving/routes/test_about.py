"""The description of a server."""

from convmodel.serving.schemas import Options
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of


def test_the_options_of_the_responder_are_described_and_no_others() -> None:
    fake = FakeResponder()
    with client_of(service_of(fake, new_tokens=50)) as client:
        about = client.get("/about").json()
    assert set(about["option_help"]) <= set(Options.model_fields) - {"num_beams"} and about["option_help"]
    for name in about["option_help"]:
        fake.check_options({name: None})
    assert about["limits"]["new_tokens"] == 50 and about["keys"] is about["policy"] is False
