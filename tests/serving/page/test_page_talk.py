"""Talking on the page, in a browser, with a real server: streaming, stopping, retrying, editing, choosing."""

import asyncio
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from starlette.types import Send

from convmodel.serving.sse import EventStream
from tests.fakes import FakeResponder
from tests.serving.page.conftest import NewPage, NewSite
from tests.serving.page.talking import Person, echo, expect

pytestmark = pytest.mark.slow


def several(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """Another reply for each of the candidates."""
    return f"reply {seed // 1000} to {context[-1]}"


def test_a_reply_is_seen_while_it_is_written_and_told_when_it_is_there(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(lambda *_: "one two three four", hold=2))
    person = Person(new_page(site.url))
    person.say("Hello")
    person.sees("Hello", "one two")
    expect(person.page.locator(".making")).to_have_attribute("aria-busy", "true")
    expect(person.page.locator("#announcer")).to_be_empty()
    expect(person.field).to_have_value("")
    site.responder.go_on.set()
    person.sees("Hello", "one two three four")
    person.hears("Reply: one two three four")
    expect(person.page).to_have_title("Hello · Anna")
    expect(person.field).to_be_focused()


def test_stopping_leaves_what_was_written(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(lambda *_: "one two three four", hold=2)).url))
    person.say("Hello")
    person.sees("Hello", "one two")
    person.click("Stop")
    expect(person.page.locator(".theirs .note")).to_have_text("stopped")
    person.sees("Hello", "one two")
    person.page.reload()
    person.sees("Hello", "one two")


def test_stopped_before_the_first_word_a_message_waits_and_grows_or_gets_its_reply(
    new_site: NewSite, new_page: NewPage
) -> None:
    site = new_site(FakeResponder(echo, hold=0))
    person = Person(new_page(site.url))
    person.say("Hello")
    assert site.responder.held.wait(5)
    person.field.press("Escape")
    expect(person.page.locator(".mine .note")).to_have_text("no reply yet")
    person.sees("Hello")
    site.responder.go_on.set()
    person.click("Get a reply")
    person.sees("Hello", "1: Hello")


def test_what_is_said_while_a_message_waits_is_added_to_it(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo, hold=0))
    person = Person(new_page(site.url))
    person.say("Hello")
    assert site.responder.held.wait(5)
    person.field.press("Escape")
    expect(person.page.locator(".mine .note")).to_have_text("no reply yet")
    site.responder.go_on.set()
    person.say("you")
    person.sees("Hello\nyou", "1: Hello\nyou")


def test_a_reply_is_made_anew_with_another_seed(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(lambda context, seed, options: f"seed {seed}"))
    person = Person(new_page(site.url))
    person.talk("Hello")
    before = person.page.locator(".theirs .bubble").inner_text()
    person.click("Retry")
    expect(person.page.locator(".theirs .bubble")).not_to_have_text(before)
    expect(person.page.locator(".theirs .bubble")).to_have_text(re.compile(r"seed \d+"))
    assert len({request["seed"] for request in site.responder.requests}) == 2
    expect(person.field).to_be_focused()


@pytest.mark.parametrize("button", [None, "Retry"])
def test_a_reply_is_seen_once_however_late_its_stream_ends(
    button: str | None, new_site: NewSite, new_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    give, ends = EventStream._send_chunk, threading.Event()

    async def late(self: EventStream, chunk: bytes, send: Send) -> None:
        while not chunk and not ends.is_set():
            await asyncio.sleep(0.01)
        await give(self, chunk, send)

    person = Person(new_page(new_site(FakeResponder(lambda context, seed, options: f"seed {seed}")).url))
    if button is not None:
        person.talk("Hello")
        expect(person.page.get_by_role("button", name=button)).to_be_visible()
        before = person.page.locator(".theirs .bubble").inner_text()
    monkeypatch.setattr(EventStream, "_send_chunk", late)
    replies = person.page.locator(".theirs .bubble")
    if button is None:
        person.say("Hello")
    else:
        person.click(button)
        expect(replies).not_to_have_text(before)
    expect(replies).to_have_text(re.compile(r"^seed \d+$"))
    expect(replies).to_have_count(1)
    expect(person.page.get_by_role("button", name="Stop")).to_be_visible()
    ends.set()
    expect(person.page.get_by_role("button", name="Retry")).to_be_visible()
    expect(replies).to_have_count(1)


def test_the_last_message_is_edited_and_what_came_after_it_replaced(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello", "Who ar you?")
    person.field.press("ArrowUp")
    expect(person.field).to_have_value("Who ar you?")
    person.field.press("Escape")
    expect(person.field).to_have_value("")
    person.click("Edit")
    expect(person.page.get_by_label("The last message, edited")).to_be_focused()
    person.say("Who are you?")
    person.sees("Hello", "1: Hello", "Who are you?", "3: Who are you?")


def test_another_candidate_becomes_the_reply(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(several), options={"num_return_sequences": 3})
    person = Person(new_page(site.url))
    person.talk("Hello")
    person.click("3 candidates")
    shown = person.page.locator(".candidate")
    expect(shown).to_have_count(3)
    expect(shown.locator(".score")).to_have_text(["−1.000", "−2.000", "−3.000"])
    expect(shown.nth(1)).to_contain_text("written")
    chosen = shown.nth(1).locator(".said").inner_text()
    shown.nth(1).get_by_role("button", name="Use this one").click()
    person.sees("Hello", chosen)
    person.hears(f"Chosen: {chosen}")
    expect(person.page.get_by_role("button", name="3 candidates")).to_be_focused()
    person.say("And you?")
    expect(person.page.locator(".theirs:not(.making)")).to_have_count(2)
    assert site.responder.requests[-1]["context"] == ("Hello", chosen, "And you?")


def test_a_text_stays_a_text(new_site: NewSite, new_page: NewPage) -> None:
    evil = "<script>document.title = 'hacked'</script><img src=x onerror=\"document.title='hacked'\"> <b>&amp;</b>"
    site = new_site(FakeResponder(lambda *_: evil), options={"num_return_sequences": 1})
    person = Person(new_page(site.url))
    person.talk(evil)
    person.sees(evil, evil)
    person.click("Details")
    expect(person.page.locator(".candidate .said")).to_have_text(evil)
    person.page.reload()
    person.sees(evil, evil)
    expect(person.page.locator("#title")).to_contain_text("<script>")
    assert person.page.locator("main img, main b, main script, nav img, nav b").count() == 0
    assert "hacked" not in person.page.title().split(" · ")[-1]


def test_persona_preset_options_and_seed_are_used_and_only_what_is_set(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder())
    person = Person(new_page(site.url))
    person.opens_settings()
    person.page.get_by_label("Who replies").fill("I live in Rome.\n\n I like rain. ")
    person.page.get_by_label("Preset").select_option("bold")
    person.page.get_by_label("Seed").fill("7")
    person.page.get_by_label("top_k").fill("3")
    person.page.keyboard.press("Escape")
    person.talk("Hello")
    [request] = site.responder.requests
    assert request["persona"] == ("I live in Rome.", "I like rain.") and request["seed"] == 7
    assert request["options"] == {"temperature": 1.5, "top_k": 3}
    person.opens_settings()
    temperature = person.page.get_by_label("temperature", exact=True)
    expect(temperature).to_have_attribute("placeholder", "1.5")
    temperature.fill("-1")
    temperature.press("Tab")
    expect(person.page.locator("#option-temperature-help")).to_contain_text("0")
    expect(temperature).to_have_attribute("aria-invalid", "true")
    temperature.fill("0.25")
    person.page.get_by_label("top_k").fill("")
    person.page.get_by_label("top_k").press("Tab")
    expect(person.page.locator("#settings .saved")).to_have_text("Saved")
    person.page.keyboard.press("Escape")
    person.talk("Again")
    assert site.responder.requests[-1]["options"] == {"temperature": 0.25}


def test_the_model_that_is_chosen_replies(new_site: NewSite, new_page: NewPage) -> None:
    formal = FakeResponder(lambda *_: "Good evening")
    site = new_site(FakeResponder(lambda *_: "Hi"), adapters={"formal": formal}, model="plain")
    person = Person(new_page(site.url))
    person.talk("Hello")
    person.opens_settings()
    choice = person.page.get_by_label("Model", exact=True)
    expect(choice.locator("option")).to_have_text(["plain", "formal"])
    choice.select_option("formal")
    expect(person.page.locator("#settings .saved")).to_have_text("Saved")
    person.page.keyboard.press("Escape")
    person.talk("Again")
    person.page.reload()
    person.sees("Hello", "Hi", "Again", "Good evening")
    assert len(formal.requests) == len(site.responder.requests) == 1


def test_what_the_window_holds_is_shown(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(lambda *_: "one two three")).url))
    person.talk("Hello there")
    meter = person.page.get_by_role("meter")
    expect(meter).to_have_attribute("aria-valuetext", "6 of 64 tokens")
    expect(person.page.locator("#meter")).to_contain_text("6 of 64 tokens")


def test_a_message_that_is_too_long_is_not_sent_and_what_is_refused_is_given_back(
    new_site: NewSite, new_page: NewPage
) -> None:
    from convmodel.serving.settings import Settings

    site = new_site(FakeResponder(), settings=Settings(turn_chars=40))
    person = Person(new_page(site.url))
    person.say("x" * 41)
    expect(person.page.locator("#message-help")).to_have_text("Too long: 41 of 40 characters")
    expect(person.field).to_have_value("x" * 41)
    person.say("this is too long")
    person.is_told("does not fit into the window")
    expect(person.field).to_have_value("this is too long")
    assert site.responder.requests == []


def test_an_error_in_the_middle_of_a_reply_can_be_tried_again(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo, error=RuntimeError("inside"), error_after=1))
    person = Person(new_page(site.url))
    person.say("Hello")
    person.is_told("went wrong")
    expect(person.page.locator("#notice")).not_to_contain_text("inside")
    site.responder.error = None
    person.click("Try again")
    person.sees("Hello", "1: Hello")
    expect(person.page.locator("#notice")).to_be_empty()
