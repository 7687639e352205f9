"""The same messages become the same token ids in a file, in the server's APIs, in the bot, and in the chat template."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import read_conversations
from convmodel.serving.service import Service
from convmodel.serving.store import Store
from convmodel.serving.telegram.bot import run_bot
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, served
from tests.serving.telegram.fake_api import TOKEN, FakeApi
from tests.serving.telegram.harness import bot_settings, run
from tests.vocabularies import end_of_text

PERSONA = ["i have two cats .", "i live in rome ."]


def system(text: Any, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": text}


def user(text: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def assistant(text: Any, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": text}


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


CASES: dict[str, tuple[list[dict[str, Any]], list[str], list[str]]] = {
    "plain": (
        [system(PERSONA[0]), user("Hello!"), assistant("Hi."), user("Pets?")],
        PERSONA[:1],
        ["Hello!", "Hi.", "Pets?"],
    ),
    "two lines": ([system(f" {PERSONA[0]}\n\n{PERSONA[1]} \n"), user("Hello!")], PERSONA, ["Hello!"]),
    "developer": ([system(PERSONA[0], "developer"), user("Hello!")], PERSONA[:1], ["Hello!"]),
    "late system": (
        [user("Hello!"), system(PERSONA[0]), assistant("Hi."), user("Why?"), system(PERSONA[1])],
        PERSONA,
        ["Hello!", "Hi.", "Why?"],
    ),
    "empty system": ([system(""), system(" \n"), user("Hello!")], [], ["Hello!"]),
    "parts": ([system(parts(*PERSONA)), user(parts("Hello!", "Any pets?"))], PERSONA, ["Hello!\nAny pets?"]),
    "any case": (
        [system(PERSONA[0], "System"), user("Hello!", "USER"), assistant("Hi.", "Assistant"), user("Why?", "User")],
        PERSONA[:1],
        ["Hello!", "Hi.", "Why?"],
    ),
    "empty reply": (
        [user("Hello!"), assistant(""), user("Hm?"), assistant(" \n"), user("Why?")],
        [],
        ["Hello!\nHm?\nWhy?"],
    ),
    "null reply": (
        [user("Hello!"), assistant("Hi."), user("Hm?"), assistant(None), user("Why?")],
        [],
        ["Hello!", "Hi.", "Hm?\nWhy?"],
    ),
    "runs": (
        [user("Hello!"), user("Any pets?"), assistant("Hi."), assistant("Two cats."), user("Why?")],
        [],
        ["Hello!\nAny pets?", "Hi.\nTwo cats.", "Why?"],
    ),
    "tools": (
        [
            user("Hello!"),
            assistant(None) | {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
            {"role": "tool", "content": "5", "tool_call_id": "1"},
            assistant("Hi."),
            user("Why?"),
        ],
        [],
        ["Hello!", "Hi.", "Why?"],
    ),
    "white space": ([user(" Hello,\n you "), assistant("Hi. "), user("Why?")], [], [" Hello,\n you ", "Hi. ", "Why?"]),
}
"""Messages, and the persona and the turns that they mean."""


@pytest.fixture(scope="module")
def tokenizer() -> ConversationTokenizer:
    return ConversationTokenizer(end_of_text())


def ids_asked(tokenizer: ConversationTokenizer, fake: FakeResponder) -> list[int]:
    """Return the token ids of the newest request that a responder got."""
    return tokenizer(fake.requests[-1]["context"], persona=fake.requests[-1]["persona"])["input_ids"]


@pytest.mark.parametrize("case", CASES)
def test_the_same_messages_become_the_same_ids_everywhere(
    case: str, tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    messages, persona, turns = CASES[case]
    expected = tokenizer(turns, persona=persona)["input_ids"]
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps({"messages": [*messages, assistant("The reply.")]}) + "\n", encoding="utf-8")
    [conversation] = read_conversations(file)
    assert conversation.turns[-1] == "The reply."
    assert tokenizer(conversation.turns[:-1], persona=conversation.persona)["input_ids"] == expected
    fake = FakeResponder()
    with client_of(Service(fake)) as client:
        answer = client.post("/v1/chat/completions", json={"model": "model", "messages": messages})
        assert answer.status_code == 200, answer.text
    assert ids_asked(tokenizer, fake) == expected
    template = tokenizer.chat_template()
    hf_tokenizer = tokenizer.hf_tokenizer
    ids = hf_tokenizer.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, return_dict=False
    )
    assert ids == expected


def test_an_empty_message_of_the_user_is_an_error_in_the_chat_template_as_well(
    tokenizer: ConversationTokenizer,
) -> None:
    with pytest.raises(Exception, match="a message of the user is empty"):
        tokenizer.hf_tokenizer.apply_chat_template([user(" ")], chat_template=tokenizer.chat_template())


def test_an_empty_reply_can_be_sent_back_and_an_empty_turn_of_the_user_cannot(
    tokenizer: ConversationTokenizer,
) -> None:
    fake = FakeResponder()
    with client_of(Service(fake)) as client:
        for empty in ("", " ", None):
            context = ["Hello!", empty, "Hm?", "Hi.", "Why?"]
            assert (
                client.post("/replies", json={"context": context, "persona": ["\n".join(PERSONA)]}).status_code == 200
            )
            assert ids_asked(tokenizer, fake) == tokenizer(["Hello!\nHm?", "Hi.", "Why?"], persona=PERSONA)["input_ids"]
            error = client.post("/replies", json={"context": [empty, "Hi.", "Why?"]}).json()["error"]
            assert error["param"] == "context[0]" and error["message"].startswith("context[0]: ")


class Bot:
    """A Telegram bot in front of a server with a responder whose replies are given."""

    def __init__(self, folder: Path, replies: list[str]) -> None:
        self.folder = folder
        self.waiting = iter(replies)
        self.fake = FakeResponder(lambda *_: next(self.waiting))

    @contextlib.contextmanager
    def server(self) -> Iterator[str]:
        service = Service(self.fake, store=Store(f"sqlite:///{self.folder / 'server.db'}"))
        with served(service) as address:
            yield address

    async def say(self, texts: list[str]) -> None:
        """Send messages, each when the one before is answered."""
        ending = asyncio.Event()
        with self.server() as address, Store(f"sqlite:///{self.folder / 'bot.db'}") as store:
            async with FakeApi() as api:
                bot = asyncio.create_task(run_bot(TOKEN, bot_settings(api.url, address), store, ending=ending))
                for number, text in enumerate(texts, 1):
                    await api.say(text, chat=7)
                    await api.until(number, chat=7)
                ending.set()
                await bot


def test_messages_to_the_bot_become_the_same_ids(tokenizer: ConversationTokenizer, tmp_path: Path) -> None:
    bot = Bot(tmp_path, ["Hi.", "", "Two."])
    lines = "\n".join(PERSONA)
    run(bot.say([f"/persona {lines}", "Hello!", "Any\npets?", "Why?"]))
    messages = [system(lines), user("Hello!"), assistant("Hi."), user("Any\npets?"), assistant(""), user("Why?")]
    expected = tokenizer.hf_tokenizer.apply_chat_template(
        messages, chat_template=tokenizer.chat_template(), add_generation_prompt=True, return_dict=False
    )
    assert ids_asked(tokenizer, bot.fake) == expected
