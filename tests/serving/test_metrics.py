"""Metrics over HTTP."""

from tests.serving.clients import client_of, service_of

HELLO = {"context": ["Hello!"]}


def test_metrics_count_by_template_and_never_by_path() -> None:
    with client_of(
        service_of(),
    ) as client:
        client.post("/replies", json={**HELLO, "seed": 1})
        client.post("/replies", json={"context": []})
        for path in ("/v1/models/secret-name", "/secret-path", "/about"):
            client.get(path)
        text = client.get("/metrics").text
    assert "secret" not in text
    for line in (
        'convmodel_requests_total{method="POST",route="/replies",status="200"} 1.0',
        'convmodel_requests_total{method="GET",route="/v1/models/{model:path}",status="404"} 1.0',
        'convmodel_requests_total{method="GET",route="none",status="404"} 1.0',
        'convmodel_replies_total{finish="end",source="written"} 1.0',
        'convmodel_refused_total{reason="invalid_value"} 1.0',
        'convmodel_refused_total{reason="model_not_found"} 1.0',
        'convmodel_tokens_total{kind="read"} 2.0',
        "convmodel_open_replies 0.0",
        "convmodel_first_token_seconds_count 1.0",
    ):
        assert line in text, line
