"""The format of errors of unknown addresses; tests/serving/test_addresses.py has their remedies."""

import pytest

from tests.serving.clients import client_of, error_of, service_of


@pytest.mark.parametrize("path", ["/nowhere", "/replies/", "/v1/", "/docs/../../etc/passwd", "/docs/%2e%2e", "/web/x"])
def test_an_unknown_address_is_404_in_the_common_format(path: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get(path), 404)["code"] == "not_found"
