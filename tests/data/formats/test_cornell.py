"""The Cornell movie dialogues: two files that belong together, in folders and archives."""

import zipfile
from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError, ConversationReader

LINES = (
    "L2 +++$+++ u1 +++$+++ m0 +++$+++ BO +++$+++ Hello, caf\xe9.\n"
    "L1 +++$+++ u0 +++$+++ m0 +++$+++ IDA +++$+++ Hi.\n"
    "L3 +++$+++ u1 +++$+++ m0 +++$+++ BO +++$+++ You?\n"
    "L4 +++$+++ u0 +++$+++ m0 +++$+++ IDA +++$+++ \n"
)
CONVERSATIONS = (
    "u0 +++$+++ u1 +++$+++ m0 +++$+++ ['L1', 'L2', 'L3', 'L4']\nu0 +++$+++ u1 +++$+++ m0 +++$+++ ['L1', 'L9']\n"
)
TITLES = "m0 +++$+++ ten things +++$+++ 1999 +++$+++ 6.90 +++$+++ 62847 +++$+++ ['comedy']\n"
README = "Cornell Movie-Dialogs Corpus\n\nDistributed together with:\n"
EXPECTED = [Conversation(["Hi.", "Hello, café.\nYou?"], meta={"movie": "m0"})]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "movie_lines": LINES,
        "movie_conversations": CONVERSATIONS,
        "movie_titles_metadata": TITLES,
        "README": README,
    }
    (tmp_path / "corpus").mkdir()
    for name, content in files.items():
        (tmp_path / "corpus" / f"{name}.txt").write_text(content, encoding="cp1252")
    return tmp_path / "corpus"


@pytest.mark.parametrize("given", [".", "movie_lines.txt", "movie_conversations.txt", "*.txt"])
def test_a_folder_or_one_of_its_files_is_read(folder: Path, given: str) -> None:
    made = ConversationReader(folder / given, encoding="cp1252", on_error="skip")
    assert made.format == "cornell"
    assert list(made) == EXPECTED
    [problem] = made.report.problems
    assert "movie_conversations.txt:2: line L9 is not in movie_lines.txt; fetch both files again" in problem


def test_an_archive_is_read(folder: Path) -> None:
    with zipfile.ZipFile(folder / "corpus.zip", "w") as archive:
        for file in folder.glob("*.txt"):
            archive.write(file, f"cornell/{file.name}")
    assert list(ConversationReader(folder / "corpus.zip", encoding="cp1252", on_error="skip")) == EXPECTED


@pytest.mark.parametrize(("kept", "missing"), [("lines", "conversations"), ("conversations", "lines")])
def test_a_missing_file_is_named(folder: Path, kept: str, missing: str) -> None:
    (folder / f"movie_{missing}.txt").unlink()
    with pytest.raises(ConversationFileError, match=rf"movie_{kept}.txt:1: there is no movie_{missing}.txt beside it"):
        list(ConversationReader(folder))


def test_another_encoding_and_a_broken_line_are_told(folder: Path) -> None:
    with pytest.raises(ConversationFileError, match=r"movie_lines.txt:1: not UTF-8: byte 0xe9"):
        list(ConversationReader(folder))
    (folder / "movie_lines.txt").write_text(LINES + "L5 +++$+++ u0\n", encoding="utf-8")
    with pytest.raises(ConversationFileError, match=r"movie_lines.txt:5: the line needs five fields; remove it"):
        list(ConversationReader(folder))
