"""Replies and their progress."""

from pathlib import Path

import pytest

from convmodel.serving.telegram import messages as texts
from tests.serving.telegram.fake_api import ME, Fault
from tests.serving.telegram.harness import run, talk


def test_a_long_reply_is_shown_as_a_draft_and_sent_in_ordered_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.replies.EVERY", 0.02)

    async def work() -> None:
        async with talk(tmp_path, seconds=0.03) as w:
            w.server.words = ["👋" * 1500 + "\n", "*b*_<i>_\n" * 200, "x" * 4000 + "end"]
            await w.api.say("Tell me a long story")
            parts = await w.api.until(3)
            assert [part[:2] for part in parts] == ["👋👋", "*b", "xx"] and parts[2].endswith("end")
            drafts = w.api.of("sendMessageDraft")
            assert (
                drafts and drafts[0].fields["can_stop"] == "true" and len({d.fields["draft_id"] for d in drafts}) == 1
            )

    run(work())


def test_a_reply_arrives_even_if_drafts_and_typing_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.replies.EVERY", 0.02)

    async def work() -> None:
        async with talk(tmp_path, seconds=0.03) as w:
            w.api.faults["sendMessageDraft"] = [Fault(400)] * 50
            w.api.faults["sendChatAction"] = [Fault(400, description="Bad Request"), Fault(None)]
            assert await w.ask("one two three four five") == "re: one two three four five"
            assert len(w.api.faults["sendMessageDraft"]) == 49
            w.api.faults.clear()
            answered = {"reply_to_message": w.api.message("x", chat=-9) | {"from": ME}}
            assert await w.ask("one two three", chat=-9, **answered) == "re: one two three"
            assert not w.api.of("sendMessageDraft")

    run(work())


def test_the_stop_button_ends_a_reply_and_keeps_its_text(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("a b c d")
            await w.server.held()
            await w.api.event("stopped_message_generation", {"chat": {"id": 7, "type": "private"}, "draft_id": 1})
            assert await w.api.until(1) == ["re:"]
            assert await w.server.turns() == ["a b c d", "re:"]

    run(work())


def test_a_reply_that_the_server_cut_off_is_generated_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("a b c")
            await w.server.held()
            w.server.stop_all()
            w.server.go_on()
            assert await w.api.until(1) == ["re: a b c"]
            assert await w.server.turns() == ["a b c", "re: a b c"]

    run(work())


def test_rejections_are_shown_without_details_of_server_errors(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            assert (
                await w.ask("This is too long") == "the last turn does not fit into the window of 64 tokens; shorten it"
            )
            w.server.faults = [500] * 3
            assert await w.ask("Hello") == texts.FAILED
            assert await w.ask("Hello again") == "re: Hello again"
            await w.ask("/persona I like rain.")
            await w.server.delete_all()
            assert await w.ask("Who are you?") == "re: Who are you?"
            assert (await w.server.conversations())[-1].about.persona == ("I like rain.",)
            await w.server.delete_all()
            assert await w.ask("/undo") == texts.GONE
            assert await w.ask("/undo") == texts.NOTHING_TO_UNDO

    run(work())
