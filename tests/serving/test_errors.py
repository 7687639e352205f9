"""Errors of unknown addresses and methods."""

import pytest

from tests.serving.clients import client_of, error_of, service_of


@pytest.mark.parametrize("path", ["/nowhere", "/replies/", "/v1/", "/docs/../../etc/passwd", "/docs/%2e%2e", "/web/x"])
def test_an_address_that_is_not_there_is_404_in_our_shape(path: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get(path), 404)["code"] == "not_found"


def test_a_method_that_is_not_taken_is_405_and_says_which_is() -> None:
    with client_of(service_of()) as client:
        answer = client.request("DELETE", "/replies")
        assert error_of(answer, 405) and answer.headers["allow"] == "POST"
        assert client.request("BREW", "/about").status_code == 405
