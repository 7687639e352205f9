"""Examples with given candidates: every format, what is left out, what is refused and where."""

import gzip
import json
import random
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError
from convmodel.data.selection_example import SelectionExample, SelectionReader
from tests.data.conftest import UBUNTU_TEST, MakeChoices

CONVAI2 = (
    "1 your persona: i fly .\n"
    "2 your persona: i have a dog .\n"
    "3 hello\thi , you ?\t\tno .|hi , you ?|a dog\n"
    "4 fine\tgood for you\t1\tno .|good for you|yes|no .\n"
    "1 your persona: i swim .\n"
    "2 hey\they !\t\tbye|hey !\n"
)

# The example


def test_an_example_keeps_tuples_and_knows_its_response() -> None:
    example = SelectionExample(["a"], ["x", "y", "z"], 1, ["p"])  # type: ignore[arg-type]
    assert example == SelectionExample(("a",), ("x", "y", "z"), 1, ("p",))
    assert (example.response, example.distractors) == ("y", ("x", "z"))
    with pytest.raises(FrozenInstanceError):
        example.gold = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), ("x",), 0), "there are no turns"),
        ((("a",), ("x", " "), 0), "candidate 2 is only white space"),
        ((("a",), (), 0), "gold=0: there are 0 candidates"),
        ((("a",), ("x", "y"), 2), "gold=2: there are 2 candidates"),
        ((("a",), ("x", "y"), -1), "gold=-1"),
        ((("a",), ("x", "y "), True), "gold is true or false"),
        ((("a",), ("x", "x "), 0), "a candidate appears twice"),
        ((("a",), ("x",), 0, "p"), "the persona sentences are the string"),
    ],
)
def test_an_example_that_cannot_be_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        SelectionExample(*arguments)


def test_a_smaller_pool_has_the_first_distractors_and_the_response() -> None:
    example = SelectionExample(("a",), ("x", "y", "z"), 0, ("p",))
    assert example.limit_candidates(2) == SelectionExample(("a",), ("y", "x"), 1, ("p",))
    assert example.limit_candidates(1).candidates == ("x",)
    assert set(example.limit_candidates(9).candidates) == {"x", "y", "z"}
    with pytest.raises(ValueError, match="candidates=0"):
        example.limit_candidates(0)


# The formats


def test_a_response_stands_after_its_distractors(choices: MakeChoices) -> None:
    content = (
        '{"context": ["a", "b"], "response": "c", "distractors": ["d", "e"]}\n'
        '{"context": "a", "response": "b", "distractors": []}\n'
    )
    assert list(choices(content)) == [
        SelectionExample(("a", "b"), ("d", "e", "c"), 2),
        SelectionExample(("a",), ("b",), 0),
    ]


def test_the_last_candidate_is_the_response_where_nothing_else_says_it(choices: MakeChoices) -> None:
    content = '{"persona": ["p"], "turns": ["a"], "candidates": ["d", "e", "c"]}\n'
    assert list(choices(content)) == [SelectionExample(("a",), ("d", "e", "c"), 2, ("p",))]


def test_a_named_response_keeps_its_place_among_its_candidates(choices: MakeChoices) -> None:
    content = '{"context": ["a"], "response": "c", "candidates": ["d", "c", "e"]}\n'
    assert list(choices(content)) == [SelectionExample(("a",), ("d", "c", "e"), 1)]


def test_every_response_of_numbered_lines_is_an_example(choices: MakeChoices) -> None:
    reader = choices(CONVAI2)
    persona = ("i fly .", "i have a dog .")
    assert list(reader.with_line_numbers()) == [
        (3, SelectionExample(("hello",), ("no .", "hi , you ?", "a dog"), 1, persona)),
        (4, SelectionExample(("hello", "hi , you ?", "fine"), ("no .", "good for you", "yes"), 1, persona)),
        (6, SelectionExample(("hey",), ("bye", "hey !"), 1, ("i swim .",))),
    ]
    assert (reader.format, reader.report.repeated, dict(reader.report.pools)) == ("fbdialog", 1, {3: 2, 2: 1})
    assert reader.report.summary().endswith(
        "ParlAI numbered lines, 3 examples of 2 to 3 candidates, 1 repeated distractor left out"
    )


def test_a_response_without_context_or_candidates_is_only_context(choices: MakeChoices) -> None:
    content = "1 __SILENCE__\thi\t\thi|ho\n2 hey\tyes\n3 so?\tno\t\tno|ja\n"
    assert list(choices(content)) == [SelectionExample(("hi", "hey", "yes", "so?"), ("no", "ja"), 0)]


def test_parlai_text_is_read_too_and_further_labels_are_no_distractors(choices: MakeChoices) -> None:
    content = (
        "text:your persona: p\\na\tlabels:b|c\tlabel_candidates:c|d__PIPE__|b\n"
        "text:e\tlabels:f\tlabel_candidates:f|g\tepisode_done:True\n"
    )
    assert list(choices(content).with_line_numbers()) == [
        (1, SelectionExample(("a",), ("d|", "b"), 1, ("p",))),
        (2, SelectionExample(("a", "b", "e"), ("f", "g"), 0, ("p",))),
    ]


@pytest.mark.parametrize("content", [CONVAI2, UBUNTU_TEST, '{"turns": ["a"], "candidates": ["b"]}'])
def test_a_gzipped_file_says_the_same(choices: MakeChoices, content: str) -> None:
    assert list(choices(gzip.compress(content.encode()), name="x.gz")) == list(choices(content))


# What is left out, and what is refused


def test_equal_texts_are_one_candidate_as_in_a_plain_loop(choices: MakeChoices) -> None:
    rng = random.Random(4)
    lines = []
    for _ in range(200):
        distractors = rng.choices(["x", "y", "z ", "z", " w"], k=rng.randrange(6))
        lines.append({"context": ["a"], "response": rng.choice(["x", "z", "q"]), "distractors": distractors})
    reader = choices("\n".join(map(json.dumps, lines)))
    left_out = 0
    for line, example in zip(lines, reader, strict=True):
        kept: list[str] = []
        for text in line["distractors"]:
            if text.strip() not in [line["response"], *(each.strip() for each in kept)]:
                kept.append(text)
        left_out += len(line["distractors"]) - len(kept)
        assert (example.distractors, example.response) == (tuple(kept), line["response"])
    assert reader.report.repeated == left_out > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["a", "b"]', r":1: it has no candidates; write"),
        ('{"context": "a", "response": "b"}', r":1: it has no candidates"),
        ("context,response\na,b", r":2: it has no candidates"),
        ('\n{"turns": ["a"], "candidates": []}', r":2: there are no candidates"),
        ('{"turns": [], "candidates": ["b"]}', r":1: there are no turns"),
        ('{"turns": ["a"], "candidates": ["b", 1]}', r":1: candidate 2 is the number 1"),
        ('{"turns": ["a"], "candidates": "b"}', r":1: the candidates are the string 'b', not a list"),
        ('{"context": "a", "response": null, "candidates": ["b"]}', r":1: response 1 is empty"),
        ('{"context": "a", "response": "b", "distractors": [""]}', r":1: distractor 1 is empty"),
        ('{"context": "a", "response": "b", "candidates": ["c"]}', r":1: the string 'b' is not among its candidates"),
        ("1 a\tb\t\tb|c\n2 d\te\t\tf|g\n", r":2: the string 'e' is not among its candidates; add it"),
        ("Context,Utterance,Label\na,b,1\na,b,2\n", r":3: the label is the string '2'; allowed are 1"),
        ("Context,Utterance,Label\na,b,1\na,b\n", r":3: the row has 2 columns, the header 3"),
        ("Context,Utterance,Label\na,__eou__,1\n", r":2: response 1 is empty"),
        ("Context,Utterance,Label\na,b,0\n", r"there are no examples in it"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(choices: MakeChoices, content: str, message: str) -> None:
    with pytest.raises(ConversationFileError, match=message):
        list(choices(content))


def test_a_wrong_header_is_told_with_the_right_one(choices: MakeChoices) -> None:
    with pytest.raises(ConversationFileError, match=r":1: the columns are 'a', 'b'; there must be Context and Ground"):
        list(choices("a,b\n1,2\n", format="ubuntu"))


def test_what_cannot_be_used_is_counted_and_the_rest_is_read(choices: MakeChoices) -> None:
    reader = choices("1 a\tb\t\tb|c\n2 d\te\t\tf|g\n3 h\ti\t\ti|j\n", on_error="skip")
    assert [example.response for example in reader] == ["b", "i"]
    assert (reader.report.examples, reader.report.skipped) == (2, 1)
    assert "2 examples of 2 candidates; 1 episode skipped: first" in reader.report.summary()
    assert [example.response for example in reader] == ["b", "i"]
    assert reader.report.examples == 2


def test_nothing_usable_is_an_error_with_skip_too(choices: MakeChoices) -> None:
    with pytest.raises(ConversationFileError, match="no example could be used, 1 line skipped; first"):
        list(choices('["a", "b"]', on_error="skip"))
    with pytest.raises(ValueError, match="allowed are 'stop' and 'skip'"):
        choices("", on_error="ignore")


# Real files


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "examples", "pool"),
    [
        ("ubuntu_irc/train.jsonl", 34_217, 10),
        ("ubuntu_irc/valid.jsonl", 1_336, 100),
        ("ubuntu_irc/test.jsonl", 2_413, 100),
        ("persona/train.jsonl", 6_178, 20),
        ("persona/valid.jsonl", 652, 20),
        ("persona/test.jsonl", 971, 20),
    ],
)
def test_the_real_examples_are_read(data_folder: Path, name: str, examples: int, pool: int) -> None:
    path = data_folder / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    reader = SelectionReader(path)
    with open(path, encoding="utf-8") as file:
        for example, line in zip(reader, map(json.loads, file), strict=True):
            given = [*line["distractors"], line["response"]] if "response" in line else line["candidates"]
            assert example.context == tuple(line.get("context") or line["turns"])
            assert example.response == given[-1] and example.persona == tuple(line.get("persona", ()))
            assert {text.strip() for text in given} == {text.strip() for text in example.candidates}
    assert reader.report.examples == examples
    assert max(reader.report.pools) == pool
    assert reader.report.repeated == sum((pool - size) * n for size, n in reader.report.pools.items())
