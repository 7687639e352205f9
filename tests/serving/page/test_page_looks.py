"""The page for everybody, in a browser: axe in every state and colour, widths, zoom, keys, directions, long texts."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import FakeDocuments, FakeResponder
from tests.serving.page.conftest import NewPage, NewSite
from tests.serving.page.talking import Person, expect

pytestmark = pytest.mark.slow

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

LONG_WORD = "Donaudampfschifffahrt" * 30
ARABIC = "مرحبا، كيف حالك؟"


def replies() -> FakeResponder:
    """Three candidates for each message, the first of them a long word."""
    return FakeResponder(lambda context, seed, options: LONG_WORD if seed < 1000 else f"reply {seed}")


def no_violation(page: Any, state: str, schemes: Sequence[str] = ("light",)) -> None:
    """Whether axe finds nothing."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response["violations"]
        told = "; ".join(f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found)
        assert not found, f"{state}, {scheme}: {told}"


def no_sideways_scrolling(page: Any, state: str) -> None:
    """Whether everything is as wide as the window at most."""
    wide = page.evaluate(
        "[...document.querySelectorAll('html, .scroller, .list, .settings[open], .dock, dialog[open]')]"
        ".filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.id || each.tagName)"
    )
    assert not wide, f"{state}: {wide}"


def states(person: Person) -> "Any":
    """Brings a page into one state after the other; gives the name of each."""
    page = person.page
    yield "nothing said"
    person.talk("Hello", ARABIC, LONG_WORD)
    yield "a conversation"
    person.click("3 candidates")
    expect(page.locator(".candidate").first).to_be_visible()
    yield "candidates"
    person.opens_settings()
    page.get_by_text("All options").click()
    page.get_by_label("temperature", exact=True).fill("-1")
    page.get_by_label("temperature", exact=True).press("Tab")
    expect(page.locator("#option-temperature-help .wrong")).not_to_be_empty()
    yield "settings with an error"
    page.keyboard.press("Escape")
    person.click("Edit")
    yield "editing"
    person.field.press("Escape")
    if page.locator("#open-side").is_visible():
        page.locator("#open-side").click()
        yield "the list"
    person.click("Delete")
    yield "a question"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+k")
    yield "shortcuts"
    page.keyboard.press("Escape")


def test_axe_finds_nothing_in_any_state_light_and_dark(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(replies(), options={"num_return_sequences": 3})
    page = new_page(site.url, viewport={"width": 1280, "height": 740})
    for state in states(Person(page)):
        no_violation(page, state, ["light", "dark"])
    site.stop()
    Person(page).say("Anybody?")
    expect(page.locator("#banner")).to_be_visible()
    no_violation(page, "no server", ["light", "dark"])


def test_on_a_phone_nothing_is_too_wide_in_any_state(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(replies(), options={"num_return_sequences": 3})
    page = new_page(site.url, viewport={"width": 360, "height": 740})
    for state in states(Person(page)):
        no_sideways_scrolling(page, state)
        if state in ("candidates", "the list"):  # that look different here
            no_violation(page, state)
    site.stop()
    Person(page).say("Anybody?")
    expect(page.locator("#banner")).to_be_visible()
    no_sideways_scrolling(page, "no server")


def test_a_person_may_enlarge_everything_twice(new_site: NewSite, new_page: NewPage) -> None:
    # 200 % zoom of a window of 1,280 by 720 is one of half that size.
    page = new_page(new_site(replies()).url, viewport={"width": 640, "height": 360}, device_scale_factor=2)
    person = Person(page)
    person.talk("Hello")
    no_sideways_scrolling(page, "enlarged")
    expect(page.get_by_role("button", name="Retry")).to_be_in_viewport()
    expect(person.field).to_be_in_viewport()


def test_the_colours_follow_the_system_until_one_is_chosen_and_that_is_kept(
    new_site: NewSite, new_page: NewPage
) -> None:
    person = Person(new_page(new_site(replies()).url, color_scheme="dark"))
    dark = "getComputedStyle(document.body).backgroundColor"
    was = person.page.evaluate(dark)
    person.click("Colours: as the system")
    assert person.page.evaluate(dark) != was
    person.click("Colours: light")
    assert person.page.evaluate(dark) == was
    person.page.reload()
    expect(person.page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(person.page.get_by_role("button", name="Colours: dark")).to_be_visible()


def test_everything_can_be_done_with_the_keyboard(new_site: NewSite, new_page: NewPage) -> None:
    page = new_page(new_site(FakeResponder(lambda context, *_: f"{len(context)}")).url)
    person = Person(page)
    expect(person.field).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    person.sees("one\ntwo", "1")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()  # before, the reply is still being made
    page.keyboard.press("Alt+c")
    expect(page.get_by_role("button", name="Details")).to_be_focused()
    expect(page.locator(".candidate")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".candidate")).to_have_count(0)
    page.keyboard.press("Alt+r")
    expect(person.field).to_be_focused()
    person.sees("one\ntwo", "1")
    page.keyboard.press("Alt+p")
    expect(page.get_by_role("heading", name="Persona & options")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#settings").get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#open-settings")).to_be_focused()
    page.keyboard.press("Alt+n")
    person.sees()
    first = page.locator("a, button, input, textarea, select, [tabindex]").first
    expect(first).to_have_text("Skip to the message")
    first.focus()
    expect(first).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(person.field).to_be_focused()


@pytest.mark.parametrize("composing", ["isComposing: true", "keyCode: 229"])  # the latter is Safari's way
def test_an_unfinished_word_of_an_input_method_is_not_sent(
    new_site: NewSite, new_page: NewPage, composing: str
) -> None:
    person = Person(new_page(new_site(replies()).url))
    person.field.fill("にほ")
    person.field.evaluate(
        f"(field) => field.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', {composing}, bubbles: true}}))"
    )
    expect(person.field).to_have_value("にほ")
    person.sees()


def test_a_text_runs_in_its_own_direction(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(lambda *_: ARABIC)).url))
    person.talk("Hello")
    directions = person.page.locator(".bubble").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).direction)"
    )
    assert directions == ["ltr", "rtl"]


def test_a_conversation_of_a_thousand_turns_is_there_in_order(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(replies()).url))
    turns = [f"Turn {n}: " + "some words " * (n % 9 + 1) for n in range(1000)]
    person.page.locator("input[type=file]").set_input_files(
        {"name": "long.jsonl", "mimeType": "", "buffer": json.dumps(turns).encode()}
    )
    expect(person.page.locator(".turn")).to_have_count(1000)
    assert person.page.locator(".bubble").all_text_contents() == turns
    expect(person.page.locator(".turn").last).to_be_in_viewport()
    person.page.locator("#scroller").evaluate("(scroller) => { scroller.scrollTop = 9000; }")
    person.click("Newest message")
    expect(person.page.locator(".turn").last).to_be_in_viewport()
    expect(person.field).to_be_focused()


def test_on_a_mac_alt_types_letters_and_control_makes_a_shortcut_of_it(new_site: NewSite, new_page: NewPage) -> None:
    page = new_page(new_site().url)
    page.add_init_script("Object.defineProperty(navigator, 'platform', { get: () => 'MacIntel' })")
    page.reload()
    page.locator("#message").press("Alt+k")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_hidden()
    page.locator("#message").press("Control+Alt+k")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_contain_text("Ctrl⌥Kthis list")
    no_violation(page, "shortcuts of a Mac")


# Documents


def test_a_server_that_writes_documents_has_a_page_for_them(new_site: NewSite, new_page: NewPage) -> None:
    writer = FakeDocuments()
    page = new_page(new_site(writer=writer).url)
    page.get_by_label("How it begins").fill("Once <b>upon</b> a time")
    no_violation(page, "before")
    page.get_by_label("What is known of it").fill('{"author": "Ann", "topics": ["cats"]}')
    page.get_by_label("How many").fill("2")
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Preset").select_option("lively")
    page.get_by_role("button", name="Write").click()
    expect(page.locator(".document .page")).to_have_text(
        [f"Once <b>upon</b> a time there was <i>cat</i> number {n}." for n in (1, 2)]
    )
    expect(page.locator(".results")).to_contain_text("the oldest 1 token of the prompt dropped")
    expect(page.locator(".document").nth(1)).to_contain_text("cut off: no more room")
    assert page.locator(".document :is(b, i)").count() == 0
    assert writer.requests == [
        {
            "prompt": "Once <b>upon</b> a time",
            "meta": {"author": "Ann", "topics": ["cats"]},
            "options": {"temperature": 1.5, "num_return_sequences": 2},
            "seed": 5,
        }
    ]
    no_violation(page, "written")
    page.set_viewport_size({"width": 360, "height": 700})
    no_sideways_scrolling(page, "documents on a phone")
    page.get_by_label("What is known of it").fill("{broken")
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("temperature").fill("x")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert").last).to_contain_text("temperature")


def test_documents_wait_for_a_server_that_is_gone_until_they_are_stopped(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(writer=FakeDocuments())
    page = new_page(site.url)
    page.get_by_label("How it begins").fill("Once")
    site.stop()
    page.get_by_role("button", name="Write").click()
    expect(page.locator("#banner")).to_contain_text("The server does not answer")
    no_violation(page, "without a server")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".document")).to_contain_text("stopped")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    site.start()
    # The page also tries again by itself, and then the button is gone.
    page.evaluate("[...document.querySelectorAll('button')].find(b => b.innerText == 'Try now')?.click()")
    expect(page.locator(".document .page")).to_have_text("Once there was <i>cat</i> number 1.")
    expect(page.locator("#banner")).to_be_hidden()
