"""Every slash command, completion, and files of conversations."""

import random
from pathlib import Path

import pytest

from convmodel.cli.chat.slash import COMMANDS, find_command, run_command
from convmodel.cli.chat.state import Chat
from convmodel.responders.typed_input import is_command, unescape
from tests.cli.chat.test_state import exchange
from tests.fakes import FakeResponder


@pytest.fixture
def chat() -> Chat:
    return Chat(FakeResponder(), source=random.Random(0))


def test_one_slash_is_a_command_and_two_are_a_text() -> None:
    assert is_command("/help") and is_command("/") and not is_command("//help") and not is_command(" /help")
    assert (unescape("//help"), unescape("a/b"), unescape("///x")) == ("/help", "a/b", "//x")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/rest", "there is no command /rest; did you mean /reset"),
        ("/xyzzy", r"there is no command /xyzzy; /help lists them, and //xyzzy says /xyzzy"),
        ("/", "there is no command /; "),
        ("/reset now", "/reset takes no arguments, but 'now' followed"),
        ("/undo", "there is nothing to take back"),
        ("/retry", "nothing to reply to; say something first"),
        ("/why", "no reply to look into"),
        ("/persona add", "no sentence to add"),
        ("/set temperature 0", "temperature=0: give a number above 0"),
        ("/set tempo 1", "tempo: there is no such option"),
        ("/set tempo", "tempo: there is no such option"),
        ("/set temperature default", "temperature was not set"),
        ("/preset shy", "there is no preset 'shy'; there are bold, sober"),
        ("/seed x", "'x' is not a seed; write a whole number from 0, or off"),
        ("/seed -1", "'-1' is not a seed"),
        ("/save", "there is no file name"),
        ("/save !", "there is no file name"),
        ("/save talk.jsonl", "a conversation needs two turns"),
        ("/load", "there is no file name"),
        ("/load nowhere.jsonl", "nowhere.jsonl: there is no such file"),
        ("/help xyzzy", "there is no command /xyzzy"),
    ],
)
def test_an_invalid_command_is_an_error_with_a_remedy(
    chat: Chat, line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=told):
        run_command(chat, line)
    assert (chat.turns, chat.own, chat.persona) == ((), {}, ())


def test_commands_are_found_by_name_in_any_case_and_by_other_names() -> None:
    assert find_command("HELP") is find_command("?") is find_command("help")
    assert find_command("exit") is find_command("quit")


def test_help_shows_every_command_and_one() -> None:
    chat = Chat(FakeResponder())
    shown = run_command(chat, "/help").table
    assert shown is not None
    assert [row[0].split()[0] for row in shown.rows] == [f"/{command.name}" for command in COMMANDS]
    assert run_command(chat, "/help /seed").text.startswith("/seed [NUMBER | off]\n")


def test_reset_undo_and_retry(chat: Chat) -> None:
    reply = exchange(chat, "Hello")
    assert run_command(chat, "/retry").reply and chat.waiting
    assert chat.add_reply(chat.start().result())
    undone = run_command(chat, "/undo")
    assert undone.shown[0] == ("you", "Hello") and undone.shown[1][0] == "reply" and reply
    assert undone.text == "taken back; no turns are left"
    exchange(chat, "Hello")
    assert run_command(chat, "/reset").text == "a new conversation; 2 turns are forgotten"
    assert chat.turns == ()
    assert run_command(chat, "/reset").text == "a new conversation"


def test_quit_leaves() -> None:
    assert run_command(Chat(FakeResponder()), "/quit").leave


def test_a_persona_is_set_added_to_shown_and_cleared(chat: Chat) -> None:
    assert "no persona" in run_command(chat, "/persona").text
    assert run_command(chat, "/persona I like rain.").text == "I like rain."
    assert run_command(chat, "/persona add I live in Rome.").text == "I like rain.\nI live in Rome."
    assert run_command(chat, "/persona").text == "I like rain.\nI live in Rome."
    assert run_command(chat, "/persona My name is Anna.").text == "My name is Anna."
    run_command(chat, "/persona clear")
    assert chat.persona == ()


def test_options_are_shown_set_and_taken_back(chat: Chat) -> None:
    shown = run_command(chat, "/set").table
    assert shown is not None and ("temperature", "1.0", "model") in shown.rows
    assert run_command(chat, "/set temperature 0.7").text == "temperature = 0.7"
    assert run_command(chat, "/set top_k=5").text == "top_k = 5"
    assert chat.own == {"temperature": 0.7, "top_k": 5}
    assert run_command(chat, "/set temperature").text == "temperature = 0.7"
    shown = run_command(chat, "/set").table
    assert shown is not None and ("temperature", "0.7", "you") in shown.rows
    assert run_command(chat, "/set temperature default").text == "temperature = 1.0"


def test_presets_are_shown_and_used(chat: Chat) -> None:
    run_command(chat, "/set top_k 5")
    assert run_command(chat, "/preset bold").text == "preset bold"
    assert chat.settings == {"temperature": 1.5}
    shown = run_command(chat, "/preset").table
    assert shown is not None and shown.rows[0] == ("bold", "temperature=1.5") and shown.marked == 0
    options = run_command(chat, "/set").table
    assert options is not None and ("temperature", "1.5", "preset") in options.rows
    assert "no preset" in run_command(chat, "/preset off").text
    assert chat.settings == {}


def test_a_seed_is_fixed_shown_and_let_go(chat: Chat) -> None:
    assert run_command(chat, "/seed").text == "each reply draws a seed"
    assert run_command(chat, "/seed 7").text == "seed 7"
    exchange(chat, "Hello")
    assert run_command(chat, "/seed").text == "seed 7; the last one was 7"
    run_command(chat, "/seed off")
    assert chat.seed is None


def test_why_shows_the_candidates_and_takes_another(chat: Chat) -> None:
    exchange(chat, "Hello")
    assert "/set num_return_sequences 4 compares several" in run_command(chat, "/why").text
    run_command(chat, "/set num_return_sequences 3")
    exchange(chat, "And?")
    shown = run_command(chat, "/why").table
    assert shown is not None and shown.marked == 0
    assert [row[:3] for row in shown.rows] == [
        ("1", "-1.000", "written"),
        ("2", "-2.000", "written"),
        ("3", "-3.000", "written"),
    ]
    taken = run_command(chat, "/why 2")
    assert chat.turns[-1] == shown.rows[1][3] == taken.shown[0][1]
    again = run_command(chat, "/why").table
    assert again is not None and again.marked == 1
    with pytest.raises(ValueError, match="no candidate 9; there are 1 to 3"):
        run_command(chat, "/why 9")
    with pytest.raises(ValueError, match="'x' is not the number of a candidate"):
        run_command(chat, "/why x")


# Files


# The Tab key


def test_as_tells_and_changes_as_whom_the_user_speaks(tmp_path: Path) -> None:
    chat = Chat(FakeResponder(), speaker="Tom", source=random.Random(0))
    assert run_command(chat, "/as").text == "you speak as user, and the model replies as Tom"
    assert run_command(chat, "/as Ida").text == "you speak as Ida, and the model replies as Tom"
    reply = exchange(chat, "Hello")
    run_command(chat, f"/save {tmp_path / 'talk.jsonl'}")
    loaded = run_command(chat, f"/load {tmp_path / 'talk.jsonl'}")
    assert loaded.shown == (("you", "Ida: Hello"), ("reply", reply))
    run_command(chat, f"/save + {tmp_path / 'talk.jsonl'}")
    assert (tmp_path / "talk.jsonl").read_text(encoding="utf-8").count('"speakers": ["Ida", "Tom"]') == 2
