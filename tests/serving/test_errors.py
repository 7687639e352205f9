"""Errors of unknown addresses and methods."""

import pytest

from tests.serving.clients import client_of, error_of, service_of


@pytest.mark.parametrize("path", ["/nowhere", "/replies/", "/v1/", "/docs/../../etc/passwd", "/docs/%2e%2e", "/web/x"])
def test_an_unknown_address_is_404_in_the_common_format(path: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/models", "/v1/models"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/models", "/v1/models"),
        ("/v1/about", "/about"),
        ("/replies/", "/replies"),
    ],
)
def test_an_address_that_is_almost_right_names_the_right_one(path: str, address: str) -> None:
    with client_of(service_of()) as client:
        assert f"did you mean {address}?" in error_of(client.post(path, json={}), 404)["message"]


def test_an_unsupported_method_is_405_with_the_supported_ones() -> None:
    with client_of(service_of()) as client:
        answer = client.request("DELETE", "/replies")
        assert error_of(answer, 405) and answer.headers["allow"] == "POST"
        assert client.request("BREW", "/about").status_code == 405
