"""Export of conversations as JSON Lines."""

from pathlib import Path

from convmodel.data.conversation import Conversation, read_conversations
from tests.serving.talking import Talk


def test_an_export_can_be_read_by_the_package_and_imported_again(talk: Talk, tmp_path: Path) -> None:
    turns = ["Hello\u2028", "Hi \x0b", "日本", "ok"]
    id = talk.create(turns=[*turns, "waits"], persona=["I am old."], meta={"source": {"turns": 2**70}}, title="T")
    talk.create(turns=["only one"])
    talk.create()
    exported = talk.http.get(f"/conversations/{id}/export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    everything = talk.http.get("/conversations/export")
    assert everything.content == exported.content
    (tmp_path / "out.jsonl").write_bytes(everything.content)
    [read] = read_conversations(tmp_path / "out.jsonl")
    assert read == Conversation(turns, ["I am old."], {"source": {"turns": 2**70}})
    again = talk.create(turns=list(read.turns), persona=list(read.persona), meta=read.meta)
    assert talk.http.get(f"/conversations/{again}/export").content == exported.content


def test_an_export_of_more_than_one_page_is_complete(talk: Talk) -> None:
    for n in range(120):
        talk.create(turns=[f"turn {n}", "Hi"])
    lines = talk.http.get("/conversations/export").text.splitlines()
    assert len(lines) == 120
    assert "turn 119" in lines[0] and "turn 0" in lines[-1]
