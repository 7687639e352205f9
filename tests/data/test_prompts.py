"""Files of prompts: what stands in them, and what cannot be read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.document import read_documents
from convmodel.data.formats.base import DataFileError
from convmodel.data.prompts import Prompt, PromptReader


def read(path: Path, text: str, **options: Any) -> list[Prompt]:
    path.write_text(text, encoding="utf-8")
    return list(PromptReader(path, **options))


def test_prompts_and_metas_may_each_be_missing(tmp_path: Path) -> None:
    lines = [{"prompt": "Once", "meta": ["a", 1], "id": 7}, {"meta": {"topic": "cats"}}, {"prompt": ""}]
    lines += [{"prompt": None, "meta": " "}, {"prompt": "x", "body": "x y", "texts": [" y"]}]
    text = "\n\n".join(json.dumps(line) for line in lines)
    assert read(tmp_path / "in", text) == [
        *(Prompt("Once", ("a", 1), {"id": 7}), Prompt("", {"topic": "cats"})),
        *(Prompt(""), Prompt(""), Prompt("x")),
    ]
    reader = PromptReader(tmp_path / "in")
    assert len(list(reader)) == 5 and reader.report.summary().endswith("in: JSON Lines, 5 prompts, 2 with meta")


def test_text_is_one_prompt_a_line_kept_character_for_character(tmp_path: Path) -> None:
    assert read(tmp_path / "in.txt", " Once \n\n日本\r\n[1]\n") == [Prompt(" Once "), Prompt("日本"), Prompt("[1]")]
    assert read(tmp_path / "in", '{"prompt": "a"}\n', format="text") == [Prompt('{"prompt": "a"}')]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"body": "A text", "meta": "m"}', "the object is a document, with 'body', and has no prompt; write"),
        ('{"id": 7}', r"the object has neither prompt nor meta \(its keys: 'id'\); write"),
        ('{"prompt": 7}', "the prompt is the number 7; give a string"),
        ('{"prompt": "\\ud800"}', "the prompt holds a lone surrogate"),
        ('{"prompt": "a", "meta": [[]]}', "item 1 of meta is a list"),
        ('{"prompt": "a", "id": NaN}', "cannot be written as JSON"),
        ('{"prompt": "a", "id": "\\udc00"}', "cannot be written as JSON"),
        ('{"prompt": ', "not JSON"),
        ("[1]", "the line is a list; write"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    text = f'{{"prompt": "a"}}\n{line}\n'
    with pytest.raises(DataFileError, match=rf"in.jsonl:2: .*{told}.*, or read with on_error='skip'"):
        read(tmp_path / "in.jsonl", text)
    assert read(tmp_path / "in.jsonl", text, on_error="skip") == [Prompt("a")]


def test_a_file_without_prompts_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there are no prompts in it"):
        read(tmp_path / "in.txt", "\n")


def test_the_examples_of_the_docs_are_prompts_and_a_document(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "documents.md").read_text(encoding="utf-8")
    given, written = re.findall(r"^```jsonl\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [prompt.prompt for prompt in read(tmp_path / "in", given)] == ["Once upon a time", ""]
    [again] = read(tmp_path / "out", written)
    assert (again.prompt, again.meta, again.other_fields) == ("Once upon a time", "Cats, dogs", {"id": 7})
    [document] = read_documents(tmp_path / "out")
    assert document.body == "Once upon a time, there was a cat."
