"""Documents in JSON lists and tables."""

import json
from pathlib import Path

import pytest

from convmodel.data.document import DataFileError, Document, DocumentReader

ITEMS = [{"body": "Cats,\nall grey", "meta": "Cats"}, {"text": "Dogs"}]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_list_holds_documents(tmp_path: Path, indent: int | None) -> None:
    for name in ("a.json", "a.txt", "a"):
        (tmp_path / name).write_text(json.dumps(ITEMS, indent=indent))
        reader = DocumentReader(tmp_path / name)
        assert list(reader) == [Document("Cats,\nall grey", "Cats"), Document("Dogs")] and reader.format == "json"


def test_a_table_holds_documents(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id;body;meta\n1;"Cats;\nall grey";Cats\n2;Dogs;\n')
    (tmp_path / "b.tsv").write_text("text\tyear\nDogs\t1999\n")
    reader = DocumentReader([tmp_path / "a.csv", tmp_path / "b.tsv"])
    assert list(reader) == [Document("Cats;\nall grey", "Cats"), Document("Dogs"), Document("Dogs")]
    assert reader.report.unused == ["id", "year"]


def test_a_table_without_a_body_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,Satz\n1,Hallo\n")
    with pytest.raises(DataFileError, match=r"a.csv:1: no column is called body: there are 'id', 'Satz'; call one of"):
        list(DocumentReader(tmp_path / "a.csv"))
    (tmp_path / "a.json").write_text('[{"body": "a"},\n{"title": "b"}]')
    with pytest.raises(DataFileError, match=r"a.json:2: the object has no body \(its keys: 'title'\)"):
        list(DocumentReader(tmp_path / "a.json"))
