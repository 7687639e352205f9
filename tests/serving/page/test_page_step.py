"""What could get out of step on the page, in a browser, with a real server."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from convmodel.serving.auth import Keys
from convmodel.serving.store.keys import digest
from tests.fakes import FakeResponder
from tests.serving.page.conftest import NewPage, NewSite
from tests.serving.page.talking import Person, echo, expect

pytestmark = pytest.mark.slow


def test_what_was_typed_before_an_edit_comes_back_in_its_own_conversation(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    for text in ("One", "Two"):
        person.click("New conversation")
        person.sees()
        person.talk(text)
        person.field.fill(f"draft of {text}")
        person.click("Edit")
        expect(person.field).to_have_value(text)
    person.page.get_by_role("link", name="One").click()
    expect(person.field).to_have_value("One")
    person.click("Leave it")
    expect(person.field).to_have_value("draft of One")


def test_a_message_on_its_way_is_no_draft_of_another_conversation(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    person = Person(new_page(site.url))
    expect(person.page.locator("#empty")).to_be_visible()
    site.stop()
    person.say("Hello")
    expect(person.page.locator("#banner")).to_be_visible()
    person.click("New conversation")
    person.sees()
    expect(person.field).to_have_value("")


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


def test_all_that_is_deleted_while_a_reply_is_made_stays_deleted(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(lambda *_: "one two three", hold=1))
    person = Person(new_page(site.url))
    person.say("Hello")
    person.sees("Hello", "one")
    person.click("Delete all conversations")
    person.click("Delete all")
    person.hears("All deleted")
    site.responder.go_on.set()
    person.sees()
    person.page.wait_for_timeout(800)  # in which the stream ends
    expect(person.page.locator("#list .title")).to_have_count(0)


def test_a_conversation_that_was_deleted_elsewhere_leaves_the_list(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello")
    person.deletes_elsewhere()
    person.say("Are you there?")
    person.is_told("deleted elsewhere")
    expect(person.field).to_have_value("Are you there?")
    expect(person.page.locator("#list .title")).to_have_count(0)


def test_deleting_what_is_deleted_is_no_error(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello")
    person.deletes_elsewhere()
    person.click("Delete")
    person.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(person.page.locator("#list .title")).to_have_count(0)
    person.sees()


def test_a_new_conversation_knows_nothing_of_one_that_there_is_not(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url + "#/nothing"))
    person.is_told("There is no such conversation")
    person.click("New conversation")
    expect(person.page.locator("#notice")).to_be_empty()


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


def test_a_choice_that_failed_is_not_told_as_one(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(lambda _, seed, __: f"reply {seed}"), options={"num_return_sequences": 2})
    person = Person(new_page(site.url))
    person.talk("Hello")
    person.click("2 candidates")
    site.stop()
    person.click("Use this one")
    person.hears("does not answer")
    person.page.wait_for_timeout(300)
    person.hears("does not answer")


def test_an_import_that_the_server_leaves_tells_how_far_it_came(
    new_site: NewSite, new_page: NewPage, tmp_path: Path
) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    expect(person.page.locator("#empty")).to_be_visible()
    file = tmp_path / "some.jsonl"
    file.write_text("".join(json.dumps({"turns": [f"Number {n}"]}) + "\n" for n in range(3)))
    taken = []

    def route(route: Any) -> None:
        if route.request.method == "POST":
            taken.append(1)
            if len(taken) > 2:
                return route.abort()
        return route.continue_()

    person.page.route("**/conversations", route)
    person.page.set_input_files("input[type=file]", str(file))
    person.is_told("2 of 3 conversations were imported")
    expect(person.page.locator("#list .title")).to_have_text(["Number 1", "Number 0"])


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
