"""Actions of a person on a page, and checks of what the page shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.serving.page.site import SLOW

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright").expect
expect.set_options(timeout=SLOW)


def echo(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """Return the number of turns and the last turn."""
    return f"{len(context)}: {context[-1]}"


class Person:
    """A person who uses a page.

    Args:
        page: a page of the browser with a conversation.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.field = page.locator("#message")

    def say(self, text: str) -> None:
        """Type a message and send it with Enter."""
        self.field.fill(text)
        self.field.press("Enter")

    def talk(self, *texts: str) -> None:
        """Say one after the other, each after the reply."""
        for text in texts:
            before = self.page.locator(".theirs").count()
            self.say(text)
            expect(self.page.locator(".theirs:not(.making)")).to_have_count(before + 1)

    def click(self, name: str, *, role: str = "button", exact: bool = True) -> None:
        """Click on the last element of a name."""
        self.page.get_by_role(role, name=name, exact=exact).last.click()

    def deletes_elsewhere(self) -> None:
        """Delete the conversation without the page, as another page would."""
        path = "conversations/" + self.page.url.rpartition("/")[2]
        self.page.evaluate("path => fetch(path, {method: 'DELETE'})", path)

    def opens_settings(self) -> None:
        """Open the panel for persona and options."""
        self.page.locator("#open-settings").click()

    def sees(self, *texts: str) -> None:
        """Check that the conversation is these texts, in this order, and nothing more."""
        expect(self.page.locator(".bubble")).to_have_text(list(texts))

    def is_told(self, text: str) -> None:
        """Check that a notice says this."""
        expect(self.page.locator("#notice")).to_contain_text(text)

    def hears(self, text: str) -> None:
        """Check that a screen reader says this."""
        expect(self.page.locator("#announcer")).to_contain_text(text)
