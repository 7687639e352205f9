"""Scripts of letters and of conversations."""

import pytest

from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.scripts import HIDDEN, OTHER, CharacterClasses, script_of
from tests.reports.inspection.helpers import Inspect, Write, findings_of


def test_each_conversation_counts_for_its_main_script(write: Write, inspect: Inspect) -> None:
    lines = [["Hello", "Hi, Анна"]] * 200 + [["今日は", "元気です"], ["你好", "再见"], ["Привет", "ok"], ["1", "?"]]
    path = write("a", [[f"{a} {n}", b] for n, (a, b) in enumerate(lines)])
    inspection = inspect(path)
    assert dict(inspection.files[0].scripts) == {"Latin": 200, "Japanese": 1, "Han": 1, "Cyrillic": 1, "no letters": 1}
    [finding] = findings_of(inspection, "odd_script")
    assert (finding.count, [example.location for example in finding.examples]) == (
        3,
        [f"{path}:{n}" for n in (201, 202, 203)],
    )
    assert finding.examples[2].text == "Cyrillic: Привет 202"


def test_scripts_that_come_up_later_are_counted_too(
    write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.chunks.CHUNK", 1)
    lines = [["a", "b"], ["г", "д"], ["か", "漢字字字"], ["漢", "字"], ["ひ", "ら"], ["c", "d"]]
    assert dict(inspect(write("a", lines)).files[0].scripts) == {"Latin": 2, "Cyrillic": 1, "Japanese": 2, "Han": 1}


@pytest.mark.parametrize(
    ("letter", "script"),
    [
        ("a", "Latin"),
        ("ａ", "Latin"),
        ("µ", "Latin"),
        ("ж", "Cyrillic"),
        ("漢", "Han"),
        ("ｶ", "Kana"),
        ("한", "Hangul"),
    ],
)
def test_the_script_of_a_letter_is_that_of_its_name(letter: str, script: str) -> None:
    assert script_of(letter) == script


def test_classes_are_by_character() -> None:
    import numpy as np

    from convmodel.data.conversation import Conversation

    classes = CharacterClasses()
    chunk = Chunk([Conversation(["a1", "\ufeffb"])], np.array([1]))
    latin = classes.script_class(0)
    assert classes(chunk.code_points).tolist() == [latin, OTHER, OTHER, HIDDEN, latin, OTHER]
    assert classes.scripts == ["Latin"]
