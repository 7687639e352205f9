"""Slash commands of the bot."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.commands import COMMANDS
from convmodel.serving.telegram.task_queue import Task
from tests.serving.telegram.harness import run, talk


def test_commands_work_as_in_the_terminal(tmp_path: Path) -> None:
    exchanges = [
        ("/start", texts.HELLO),
        ("/undo", texts.NOTHING_TO_UNDO),
        ("/retry", texts.NOTHING_TO_REPLY_TO),
        ("/persona", "There is no persona; /persona I like rain. gives one."),
        ("/persona I like rain.", "I like rain."),
        ("/persona add I am old.", "I like rain.\nI am old."),
        ("/persona add", "There is no sentence to add; write /persona add I like rain."),
        (
            "/set",
            "do_sample = true (model)\nnum_return_sequences = 1 (model)\ntemperature = 1.0 (model)\ntop_k = 50 (model)",
        ),
        ("/set temperature 0.5", "temperature = 0.5"),
        ("/set top_k=7", "top_k = 7"),
        ("/set temperature", "temperature = 0.5"),
        ("/set temperature -1", "options.temperature: Input should be greater than or equal to 0.01"),
        ("/set top_k default", "top_k = 50"),
        ("/set top_k default", "top_k was not set"),
        ("/set seed", "There is no option seed; /set lists those in effect"),
        ("/set sed", "There is no option sed; /set lists those in effect"),
        (
            "/set",
            "do_sample = true (model)\nnum_return_sequences = 1 (model)\ntemperature = 0.5 (you)\ntop_k = 50 (model)",
        ),
        ("/preset bald", "There is no preset 'bald'; there are bold, sober"),
        ("/preset bold", "Preset bold."),
        ("/preset", "bold (in effect): temperature=1.5\nsober: do_sample=false"),
        ("/set temperature", "temperature = 1.5"),
        ("/preset off", "No preset: the model's own options."),
        ("Hello", "re: Hello"),
        ("/retry", "re: Hello"),
        ("And you?", "re: And you?"),
        ("/undo", "Taken back; 2 turns are left."),
        ("/reset", "A new conversation; persona and options stay."),
        ("/undo", texts.NOTHING_TO_UNDO),
        ("/persona", "I like rain.\nI am old."),
        ("/persona clear", "There is no persona; /persona I like rain. gives one."),
        ("/rset", "There is no command /rset; did you mean /reset? /help lists them, and //rset says /rset"),
        ("/help undo", "/undo\ntake back the last exchange"),
        ("//help", "re: /help"),
    ]

    async def work() -> None:
        async with talk(tmp_path) as w:
            for text, answer in exchanges:
                assert (text, await w.ask(text)) == (text, answer)
            help = await w.ask("/help")
            assert all(f"{command.usage} - {command.help}" in help for command in COMMANDS)
            about = (await w.server.conversations())[-1].about
            assert (about.persona, about.options, about.preset) == ((), {}, "off")

    run(work())


def test_forget_deletes_all_conversations_and_settings_of_the_chat(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            await w.ask("Hello from Bob", chat=8)
            for text in ("My secret is plums", "/persona I like plums", "/reset", "More plums"):
                await w.ask(text)
            assert await w.ask("/forget") == texts.FORGOTTEN
            assert await w.server.turns() == ["Hello from Bob", "re: Hello from Bob"]
            assert await w.ask("/persona") == "There is no persona; /persona I like rain. gives one."
            await w.ask("/forget")
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"plums" not in stored and b"SQLite" in stored

    run(work())


def test_an_undo_is_not_repeated_if_its_response_is_lost(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            await w.ask("one")
            await w.ask("two")
            w.server.faults = [None, -1]
            assert await w.ask("/undo") == "Taken back; 2 turns are left."
            assert await w.server.turns() == ["one", "re: one"]

    run(work())


def test_tasks_whose_answer_the_store_did_not_take_are_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: set[int] = set()
    store_answer = task_queue.store_answer

    def forgetful(connection: Connection, bot: int, /, task: Task, *arguments: Any, **changes: Any) -> None:
        if task.update not in refused:
            refused.add(task.update)
            raise OSError("no space is left")
        store_answer(connection, bot, task, *arguments, **changes)

    monkeypatch.setattr(task_queue, "store_answer", forgetful)

    async def work() -> None:
        async with talk(tmp_path) as w:
            assert await w.ask("one") == "re: one"
            assert await w.ask("/persona add I am old.") == "I am old."
            assert await w.ask("/persona add I am wise.") == "I am old.\nI am wise."
            assert await w.ask("two") == "re: two"
            assert await w.ask("/retry") == "re: two"
            assert await w.ask("/undo") == "Taken back; 2 turns are left."
            assert await w.ask("/set temperature 0.5") == "temperature = 0.5"
            [conversation] = await w.server.conversations()
            assert [turn.text for turn in conversation.turns] == ["one", "re: one"]
            assert conversation.about.persona == ("I am old.", "I am wise.") and len(refused) == 7

    run(work())
