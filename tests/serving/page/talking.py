"""A page of the browser in, what a person does with it and sees on it out."""

from typing import Any

import pytest

from .site import SLOW

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright").expect
expect.set_options(timeout=SLOW)


class Person:
    """Somebody before a page.

    Args:
        page: of the browser, with a conversation on it.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.field = page.locator("#message")

    def say(self, text: str) -> None:
        """Types a message and sends it with Enter."""
        self.field.fill(text)
        self.field.press("Enter")

    def talk(self, *texts: str) -> None:
        """Says one after the other, and waits for the replies."""
        for text in texts:
            before = self.page.locator(".theirs").count()
            self.say(text)
            expect(self.page.locator(".theirs:not(.making)")).to_have_count(before + 1)

    def click(self, name: str, *, role: str = "button", exact: bool = True) -> None:
        """Clicks on the last thing of a name."""
        self.page.get_by_role(role, name=name, exact=exact).last.click()

    def opens_settings(self) -> None:
        """Opens the panel for persona and options."""
        self.page.locator("#open-settings").click()

    def sees(self, *texts: str) -> None:
        """Whether the conversation is these texts, in this order, and nothing more."""
        expect(self.page.locator(".bubble")).to_have_text(list(texts))

    def is_told(self, text: str) -> None:
        """Whether a notice says this."""
        expect(self.page.locator("#notice")).to_contain_text(text)

    def hears(self, text: str) -> None:
        """Whether a screen reader says this."""
        expect(self.page.locator("#announcer")).to_contain_text(text)
