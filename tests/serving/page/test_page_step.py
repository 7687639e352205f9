"""What could get out of step on the page, in a browser, with a real server."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convmodel.serving.keys import Keys
from convmodel.serving.store.keys import digest
from tests.fakes import FakeResponder

from .conftest import NewPage, NewSite
from .talking import Person, expect


def echo(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """A reply that tells how long the context is and what was said last."""
    return f"{len(context)}: {context[-1]}"


def test_a_key_can_be_given_while_another_question_is_open(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo), keys=Keys(lambda: {digest("ck-good"): "ann"}, required=True))
    person = Person(new_page(site.url))
    person.page.get_by_label("Key", exact=True).fill("ck-good")
    person.click("Go on")
    person.talk("Hello")
    # Somebody takes the key back and gives another one, while a question is on the page.
    person.page.evaluate("""async () => {
        const src = document.querySelector('script[type=module]').src;
        (await import(src.replace('main.js', 'api.js'))).useKey('ck-other');
    }""")
    person.click("Delete")
    person.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    dialog = person.page.get_by_role("dialog")
    expect(dialog).to_contain_text("does not take this key")
    person.page.get_by_label("Key", exact=True).fill("ck-good")
    person.click("Go on")
    expect(dialog).to_have_count(0)
    person.talk("Hello again")


def test_a_mistake_in_an_option_stays_in_its_conversation(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url, viewport={"width": 1300, "height": 800}))
    person.talk("Hello")
    person.opens_settings()
    field = person.page.get_by_label("temperature", exact=True)
    field.fill("warm")
    field.blur()
    expect(field).to_have_attribute("aria-invalid", "true")
    person.page.get_by_label("Seed").fill("x")
    person.page.get_by_label("Seed").blur()
    expect(person.page.locator("#seed-help")).to_have_class(re.compile("wrong"))
    person.click("New conversation")
    expect(field).to_have_value("")
    expect(field).to_have_attribute("aria-invalid", "false")
    expect(person.page.locator(".option [role=alert]").filter(has_text=re.compile("."))).to_have_count(0)
    expect(person.page.locator("#seed-help")).not_to_have_class(re.compile("wrong"))


def test_a_busy_server_is_told_of_once(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    person = Person(new_page(site.url))
    expect(person.page.locator("#empty")).to_be_visible()
    body = {"error": {"message": "too much", "type": "rate_limit_error"}}
    tries = []

    def busy(route: Any) -> None:
        tries.append(1)
        if len(tries) > 3:
            return route.continue_()
        return route.fulfill(status=429, json=body, headers={"Retry-After": "0.3"})

    person.page.route("**/turns", busy)
    person.page.evaluate("""() => {
        window.heard = [];
        const region = document.getElementById('announcer');
        new MutationObserver(() => heard.push(region.textContent)).observe(region, {childList: true});
    }""")
    person.say("Hello")
    person.hears("Reply: 1: Hello")
    assert [text for text in person.page.evaluate("heard") if "busy" in text] == [
        "The server is busy; your message is sent again by itself."
    ]


def test_a_list_that_was_open_when_the_page_grew_holds_nothing_back(new_site: NewSite, new_page: NewPage) -> None:
    page = new_page(new_site(FakeResponder(echo)).url, viewport={"width": 400, "height": 800})
    page.locator("#open-side").click()
    page.set_viewport_size({"width": 1000, "height": 400})
    Person(page).talk("Hello")


def test_what_is_touched_is_as_large_as_a_finger(new_site: NewSite, new_page: NewPage) -> None:
    page = new_page(
        new_site(FakeResponder(echo)).url, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    person = Person(page)
    person.field.fill("Hello")
    page.locator("#send").tap()
    person.sees("Hello", "1: Hello")
    small = """() => [...document.querySelectorAll('button, select, summary, input')]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.type !== 'checkbox' && !one.hidden)
        .map((one) => [one.ariaLabel || one.innerText || one.id, one.getBoundingClientRect()])
        .filter(([, { width, height }]) => width < 44 || height < 44).map(([name]) => name)"""
    assert page.evaluate(small) == []
    page.locator("#open-side").tap()
    expect(page.locator("#new")).to_be_focused()
    assert page.evaluate(small) == []
    page.locator("#close-side").tap()
    page.locator("#open-settings").tap()
    assert page.evaluate(small) == []
