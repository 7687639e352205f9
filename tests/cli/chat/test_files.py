"""Files of conversations that a chat saves and loads."""

import gzip
import random
from pathlib import Path

import pytest

from convmodel.cli.chat import files
from convmodel.cli.chat.slash import run_command
from convmodel.cli.chat.state import Chat
from convmodel.data.conversation import Conversation, ReadOptions, read_conversations, write_conversations
from tests.cli.chat.test_state import exchange
from tests.fakes import FakeResponder


@pytest.fixture
def chat() -> Chat:
    return Chat(FakeResponder(), source=random.Random(0))


def test_a_saved_conversation_is_read_by_what_trains_and_loaded_again(
    chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run_command(chat, "/persona I like rain.")
    exchange(chat, "Hello\n日本語 \x1b[0m")
    exchange(chat, "And?")
    turns = chat.turns
    assert run_command(chat, "/save ~/my talk.jsonl").text == "~/my talk.jsonl: written, 4 turns"
    [read] = read_conversations(tmp_path / "my talk.jsonl")
    assert read == Conversation(turns, ["I like rain."])
    run_command(chat, "/reset")
    run_command(chat, "/persona clear")
    loaded = run_command(chat, "/load ~/my talk.jsonl")
    assert chat.turns == turns and chat.persona == ("I like rain.",)
    assert loaded.shown[-1] == ("reply", turns[-1])


def test_a_file_is_replaced_or_added_to_only_when_asked(chat: Chat, tmp_path: Path) -> None:
    name = str(tmp_path / "talk.jsonl.gz")
    exchange(chat, "one")
    run_command(chat, f"/save {name}")
    before = Path(name).read_bytes()
    with pytest.raises(ValueError, match=r"exists already; /save ! .* replaces it, /save \+ .* adds to it"):
        run_command(chat, f"/save {name}")
    assert Path(name).read_bytes() == before
    exchange(chat, "two")
    assert "conversation 2 of the file, 4 turns" in run_command(chat, f"/save + {name}").text
    assert [len(c.turns) for c in read_conversations(name)] == [2, 4]
    run_command(chat, f"/save ! {name}")
    assert [len(c.turns) for c in read_conversations(name)] == [4]
    assert gzip.decompress(Path(name).read_bytes()).count(b"\n") == 1


def test_a_conversation_is_not_added_to_a_file_of_another_format(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("context,response\nHello,Hi\n")
    exchange(chat, "one")
    with pytest.raises(ValueError, match="is csv, and only JSON Lines can be added to"):
        run_command(chat, f"/save + {tmp_path / 'in.csv'}")


def test_of_several_conversations_one_is_loaded_by_its_number(chat: Chat, tmp_path: Path) -> None:
    name = str(tmp_path / "talks.jsonl")
    write_conversations([Conversation(["a", "b"], meta={"id": 1}), Conversation(["c", "d", "e"])], name)
    with pytest.raises(ValueError, match=r"it has several conversations; give a number, such as /load .*talks.jsonl 1"):
        run_command(chat, f"/load {name}")
    assert "3 turns; the last one waits for a reply" in run_command(chat, f"/load {name} 2").text
    assert chat.turns == ("c", "d", "e")
    run_command(chat, f"/load {name} 1")
    assert chat.conversation() == Conversation(["a", "b"], meta={"id": 1})
    with pytest.raises(ValueError, match="there is no conversation 3"):
        run_command(chat, f"/load {name} 3")
    with pytest.raises(ValueError, match="counted from 1"):
        files.load(name, 0)


def test_a_file_with_one_turn_waits_for_a_reply(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('["Hello"]\n')
    assert run_command(chat, f"/load {tmp_path / 'one.jsonl'}").text.startswith("1 turn; the last one waits")
    assert chat.waiting


def test_a_conversation_is_loaded_with_the_options_of_readers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("Frage;Antwort\nGrüße;Hallo\n".encode("cp1252"))
    options = ReadOptions(columns="context=Frage,response=Antwort", encoding="cp1252")
    assert files.load(str(tmp_path / "a.csv"), options=options).turns == ("Grüße", "Hallo")
