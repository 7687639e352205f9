"""A browser with pages of a server; tests are skipped where there is none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeResponder
from tests.serving.page.site import SLOW, Site, chromium

CAUGHT = ("Content Security Policy", "TrustedHTML", "Uncaught")


@pytest.fixture(scope="module")  # while it is open this thread has an event loop, which other tests want to start
def browser() -> Iterator[Any]:
    """Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium()
    if path is None:
        pytest.skip("needs chromium; or name it in $CHROMIUM")
    with playwright.sync_playwright() as starting:
        browser = starting.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


NewPage = Callable[..., Any]


@pytest.fixture
def new_page(browser: Any) -> Iterator[NewPage]:
    """Open pages; at the end check that none violated its policy or had an uncaught error."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def watch(message: Any) -> None:
        if message.type == "error" and any(word in message.text for word in CAUGHT):
            troubles.append(message.text)

    def make(address: str, **context: Any) -> Any:
        context = {"viewport": {"width": 1000, "height": 700}, "reduced_motion": "reduce", **context}
        contexts.append(browser.new_context(**context))
        contexts[-1].set_default_timeout(SLOW)
        page = contexts[-1].new_page()
        page.on("console", watch)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not troubles, troubles


NewSite = Callable[..., Site]


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[NewSite]:
    """Start servers."""
    sites: list[Site] = []

    def make(responder: FakeResponder | None = None, **service: Any) -> Site:
        sites.append(Site(tmp_path, responder or FakeResponder(), **service))
        return sites[-1].__enter__()

    yield make
    for site in sites:
        site.__exit__()
