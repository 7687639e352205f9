"""What is kept, in a browser, with a real server: conversations, files, keys; and a server that goes and comes back."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import read_conversations
from convmodel.serving.auth import Keys
from convmodel.serving.settings import Settings
from convmodel.serving.store.keys import digest
from tests.fakes import FakeResponder
from tests.serving.page.conftest import NewPage, NewSite
from tests.serving.page.talking import Person, echo, expect

pytestmark = pytest.mark.slow

# Conversations


def test_a_reload_finds_the_conversation_and_what_was_being_typed(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello")
    assert re.search(r"#/[\w-]{20,}$", person.page.url)
    person.field.fill("half a thou")
    person.page.reload()
    person.sees("Hello", "1: Hello")
    expect(person.field).to_have_value("half a thou")


def test_conversations_stand_in_the_list_under_their_first_message(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello")
    person.click("New conversation")
    person.sees()
    person.talk("x " * 60 + "\nand more")
    titles = person.page.locator("#list .title")
    expect(titles).to_have_text(["x " * 29 + "x…", "Hello"])
    person.page.get_by_role("link", name="Hello").click()
    person.sees("Hello", "1: Hello")
    expect(person.page.locator("#list [aria-current=page] .title")).to_have_text("Hello")
    person.page.go_back()
    expect(person.page.locator(".bubble")).to_have_count(2)
    expect(person.page.locator("#title")).to_contain_text("x x")


def test_a_reply_goes_on_while_another_conversation_is_looked_at(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(lambda *_: "one two three", hold=1))
    person = Person(new_page(site.url))
    person.say("Hello")
    person.sees("Hello", "one")
    person.click("New conversation")
    person.sees()
    expect(person.page.locator("#list .busy")).to_have_text("replying …")
    site.responder.go_on.set()
    expect(person.page.locator("#list .last")).to_have_text("one two three")
    person.page.get_by_role("link", name="Hello").click()
    person.sees("Hello", "one two three")


def test_a_conversation_is_renamed_and_deleted_after_a_question(new_site: NewSite, new_page: NewPage) -> None:
    person = Person(new_page(new_site(FakeResponder(echo)).url))
    person.talk("Hello")
    address = person.page.url
    person.click("Rename")
    person.page.get_by_label("Title").fill("Greetings")
    person.page.keyboard.press("Enter")
    expect(person.page.locator("#title")).to_have_text("Greetings")
    expect(person.page.locator("#list .title")).to_have_text("Greetings")
    person.click("Delete")
    expect(person.page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    person.page.keyboard.press("Escape")
    person.sees("Hello", "1: Hello")
    person.click("Delete")
    person.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    person.sees()
    expect(person.page.locator("#list .title")).to_have_count(0)
    person.page.goto(address)
    person.page.reload()
    person.is_told("There is no such conversation")


def test_a_long_list_comes_in_pages_and_all_can_be_deleted(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    person = Person(new_page(site.url))
    lines = "".join(json.dumps([f"number {n}", "well"]) + "\n" for n in range(50))
    person.page.locator("input[type=file]").set_input_files(
        {"name": "many.jsonl", "mimeType": "", "buffer": lines.encode()}
    )
    person.is_told("50 conversations imported.")
    expect(person.page.locator("#list li")).to_have_count(40)
    person.click("Show older ones")
    expect(person.page.locator("#list li")).to_have_count(50)
    assert len(set(person.page.locator("#list .title").all_inner_texts())) == 50
    person.click("Delete all conversations")
    person.click("Delete all")
    expect(person.page.locator("#list li")).to_have_count(0)


def test_an_export_trains_and_comes_back_as_it_was(new_site: NewSite, new_page: NewPage, tmp_path: Path) -> None:
    person = Person(new_page(new_site(FakeResponder(lambda *_: "<b>é\n日本</b>")).url))
    person.opens_settings()
    person.page.get_by_label("Who replies").fill("I like rain.")
    person.page.keyboard.press("Escape")
    person.talk("Hello\u2028there", "Again")
    with person.page.expect_download() as download:
        person.click("Export")
    path = tmp_path / "saved.jsonl"
    download.value.save_as(path)
    assert download.value.suggested_filename == "Hello-there.jsonl"
    [conversation] = read_conversations(path)
    assert conversation.turns == ("Hello\u2028there", "<b>é\n日本</b>", "Again", "<b>é\n日本</b>")
    assert conversation.persona == ("I like rain.",)
    path.write_text(path.read_text(encoding="utf-8") + 'not json\n{"turns": [1]}\n', encoding="utf-8")
    person.page.locator("input[type=file]").set_input_files(path)
    person.is_told("1 conversation imported; not taken: line 2: is not JSON, and 1 more.")
    person.page.locator("#list a").first.click()
    expect(person.page.locator("#list a")).to_have_count(2)
    person.sees("Hello\u2028there", "<b>é\n日本</b>", "Again", "<b>é\n日本</b>")


# Servers that go, are busy, or want a key


def test_a_server_that_went_away_comes_back_and_the_message_goes_on(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    person = Person(new_page(site.url))
    person.talk("Hello")
    site.stop()
    person.say("Are you there?")
    banner = person.page.locator("#banner")
    expect(banner).to_contain_text("The server does not answer.")
    person.sees("Hello", "1: Hello", "Are you there?")
    person.field.fill("typed meanwhile")
    site.start()
    banner.get_by_role("button", name="Try now").click()
    person.sees("Hello", "1: Hello", "Are you there?", "3: Are you there?")
    expect(banner).to_be_hidden()
    expect(person.field).to_have_value("typed meanwhile")
    person.hears("Reply: 3: Are you there?")


def test_a_server_that_goes_in_the_middle_of_a_reply_makes_it_when_it_is_back(
    new_site: NewSite, new_page: NewPage
) -> None:
    site = new_site(FakeResponder(echo, hold=0))
    person = Person(new_page(site.url))
    person.say("Hello")
    assert site.responder.held.wait(5)
    site.stop()
    banner = person.page.locator("#banner")
    expect(banner).to_be_visible()
    site.responder.go_on.set()
    site.start()
    banner.get_by_role("button", name="Try now").click()
    person.sees("Hello", "1: Hello")
    person.page.reload()
    person.sees("Hello", "1: Hello")


def test_a_request_whose_answer_was_lost_is_not_made_twice(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    person = Person(new_page(site.url))
    lost: list[str] = []

    def lose(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().text())
        route.abort("connectionreset")

    person.page.route("**/conversations/*/turns", lose)
    person.say("Hello")
    person.sees("Hello", "1: Hello")
    assert "event: reply" in lost[0] and len(site.responder.requests) == 1


def test_a_change_from_elsewhere_is_shown_and_nothing_typed_is_lost(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo))
    one = Person(new_page(site.url))
    one.talk("Hello")
    other = Person(new_page(one.page.url))
    other.talk("from elsewhere")
    one.say("mine")
    one.is_told("changed elsewhere")
    one.sees("Hello", "1: Hello", "from elsewhere", "3: from elsewhere")
    expect(one.field).to_have_value("mine")
    one.field.press("Enter")
    one.sees("Hello", "1: Hello", "from elsewhere", "3: from elsewhere", "mine", "5: mine")


def test_a_busy_server_is_asked_again_when_it_says(new_site: NewSite, new_page: NewPage) -> None:
    site = new_site(FakeResponder(echo, hold=0), settings=Settings(max_running=1, max_waiting=0))
    one, other = (Person(new_page(site.url)) for _ in range(2))
    one.say("Hello")
    assert site.responder.held.wait(5)
    other.say("Me too")
    other.is_told("The server is busy; it goes on by itself.")
    expect(other.page.locator(".pending")).to_contain_text("Me too")
    site.responder.go_on.set()
    one.sees("Hello", "1: Hello")
    other.sees("Me too", "1: Me too")
    expect(other.page.locator("#notice")).to_be_empty()


def test_a_key_is_asked_for_and_kept_for_the_tab_or_longer(new_site: NewSite, new_page: NewPage) -> None:
    keys = {digest("cm-mine"): "me"}
    site = new_site(FakeResponder(echo), keys=Keys(lambda: keys, required=True))
    person = Person(new_page(site.url))
    field = person.page.get_by_label("Key", exact=True)
    field.fill("cm-wrong")
    field.press("Enter")
    expect(person.page.locator("#ask")).to_contain_text("does not take this key")
    field.fill("cm-mine")
    field.press("Enter")
    person.talk("Hello")
    stores = "[sessionStorage.getItem('convmodel.key'), localStorage.getItem('convmodel.key')]"
    assert person.page.evaluate(stores) == ["cm-mine", None]
    person.page.reload()
    person.sees("Hello", "1: Hello")
    person.click("Forget the key")
    expect(field).to_be_visible()
    person.page.get_by_label("Keep it in this browser").check()
    field.fill("cm-mine")
    field.press("Enter")
    person.sees("Hello", "1: Hello")
    assert person.page.evaluate(stores) == [None, "cm-mine"]
