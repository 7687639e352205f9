"""Remedies for unknown addresses and methods, by the server's own description."""

import pytest

from tests.serving.clients import client_of, error_of, service_of


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
        assert error_of(answer, 405)["message"] == "this address does not accept DELETE; it accepts POST"
        assert answer.headers["allow"] == "POST"
        assert client.put("/v1/models/model", json={}).headers["allow"] == "GET, HEAD"
        assert client.request("BREW", "/about").status_code == 405


@pytest.mark.parametrize(
    ("path", "name", "address"),
    [
        ("/api/chat", "Ollama", "/v1/chat/completions"),
        ("/api/generate", "Ollama", "/v1/completions"),
        ("/api/tags", "Ollama", "/v1/models"),
        ("/api/embed", "Ollama", "/v1/embeddings"),
        ("/v1/responses", "OpenAI's Responses and Assistants", "/v1/chat/completions"),
        ("/v1beta/models/model:streamGenerateContent", "Gemini", "/v1/chat/completions"),
        ("/v2/chat", "Cohere", "/v1/chat/completions"),
        ("/v2/embed", "Cohere", "/v1/embeddings"),
        ("/completion", "llama.cpp and TGI", "/v1/completions"),
        ("/embed", "llama.cpp and TEI", "/v1/embeddings"),
        ("/api/v1/generate", "KoboldAI", "/v1/completions"),
    ],
)
def test_an_address_of_another_api_names_the_one_with_the_same_use(path: str, name: str, address: str) -> None:
    with client_of(service_of()) as client:
        message = error_of(client.post(path, json={}), 404)["message"]
        assert message == (
            f"there is no such address; the API of {name} is not here; use {address}, in OpenAI's format"
        )
        assert client.post(address, json={}).status_code in (400, 404, 405)
