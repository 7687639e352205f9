"""A fake responder behind the API, and a client of OpenAI for it."""

from collections.abc import Iterator

import openai
import pytest

from tests.fakes import FakeResponder
from tests.serving.clients import served, service_of
from tests.serving.openai.helpers import PenalisedResponder


@pytest.fixture
def fake() -> PenalisedResponder:
    return PenalisedResponder(seconds=0.001)


@pytest.fixture
def client(fake: FakeResponder) -> Iterator[openai.OpenAI]:
    with (
        served(service_of(fake, new_tokens=50)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client
