"""Pages of other origins that ask the server, with the headers of OpenAI's JavaScript client, in a real browser."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convmodel.serving.settings import Settings
from tests.serving.page.conftest import NewPage, NewSite

pytestmark = pytest.mark.slow

HEADERS = {
    "content-type": "application/json",
    "authorization": "Bearer any",
    "http-referer": "https://app.example",
    "x-title": "App",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "browser:chrome",
    "anthropic-dangerous-direct-browser-access": "true",
}
ASK = """async ([address, options]) => {
    const answer = await fetch(address, options).catch(error => ({refused: error.name}));
    if (answer.refused) return answer;
    const names = ["x-convmodel-ignored", "x-request-id", "content-type"];
    const headers = Object.fromEntries(names.map(name => [name, answer.headers.get(name)]));
    return {status: answer.status, text: await answer.text(), ...headers};
}"""


class EmptyPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    """The origin of a site with an empty page."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(page: Any, address: str, body: Any = None, *, method: str = "POST", **headers: str) -> dict[str, Any]:
    """Return what a script of the page gets to see of an answer."""
    content = None if body is None else json.dumps(body)
    answer: dict[str, Any] = page.evaluate(ASK, [address, {"method": method, "headers": headers, "body": content}])
    return answer


CHAT = {"model": "model", "seed": 1, "messages": [{"role": "user", "content": "Hello!"}], "metadata": {"a": "b"}}


def test_a_page_of_an_allowed_origin_reads_replies_streams_and_errors(
    new_site: NewSite, new_page: NewPage, origin: str
) -> None:
    api = new_site(settings=Settings(origins=(origin,))).url + "v1"
    page = new_page(origin)
    whole = ask(page, f"{api}/chat/completions", CHAT, **HEADERS)
    assert (whole["status"], whole["x-convmodel-ignored"], len(whole["x-request-id"])) == (200, "metadata", 16)
    said = json.loads(whole["text"])["choices"][0]["message"]["content"]
    streamed = ask(page, f"{api}/chat/completions", CHAT | {"stream": True}, **HEADERS)
    pieces = [json.loads(line.removeprefix("data: ")) for line in streamed["text"].split("\n\n") if line[6:7] == "{"]
    assert "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces) == said
    assert streamed["content-type"].startswith("text/event-stream") and streamed["x-convmodel-ignored"] == "metadata"
    assert ask(page, f"{api}/models", method="GET", **HEADERS)["status"] == 200
    assert ask(page, f"{api}/models", method="HEAD", **HEADERS)["status"] == 200
    errors = [
        (400, "temperature", ask(page, f"{api}/chat/completions", CHAT | {"temperature": 3}, **HEADERS)),
        (404, "model", ask(page, f"{api}/chat/completions", CHAT | {"model": "gpt-4o"}, **HEADERS)),
        (404, None, ask(page, f"{api}/responses", {}, **HEADERS)),
        (405, None, ask(page, f"{api}/chat/completions", method="PUT", **HEADERS)),
        (415, None, ask(page, f"{api}/chat/completions", CHAT)),
    ]
    for status, param, answer in errors:
        assert (answer["status"], json.loads(answer["text"])["error"]["param"]) == (status, param)
        assert len(answer["x-request-id"]) == 16


def test_a_page_of_another_origin_reads_nothing(new_site: NewSite, new_page: NewPage, origin: str) -> None:
    site = new_site(settings=Settings(origins=("http://other.example",)))
    page = new_page(origin)
    assert ask(page, f"{site.url}v1/chat/completions", CHAT, **HEADERS) == {"refused": "TypeError"}
    assert ask(page, f"{site.url}v1/models", method="GET") == {"refused": "TypeError"}
    assert not site.responder.requests
