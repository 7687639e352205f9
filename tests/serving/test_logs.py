"""Log lines without texts of conversations."""

import pytest

from tests.serving.clients import client_of, service_of


def test_the_log_contains_no_texts_of_conversations(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with client_of(service_of()) as client:
        client.post("/replies", json={"context": ["umbrella"]})
        client.post("/replies", json={"context": ["umbrella"], "umbrella": 1})
        client.post("/replies?umbrella=1", json={"context": ["umbrella"], "stream": True})
    lines = [record.getMessage() for record in caplog.records if record.name == "convmodel.serving.middleware"]
    assert len(lines) == 3 and lines[0].startswith("POST /replies 200 ") and lines[1].startswith("POST /replies 400 ")
    assert not any("umbrella" in line for line in lines)
