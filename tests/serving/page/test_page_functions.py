"""The page's functions that know nothing of the page, run by the browser on what is hard for them."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import FakeResponder
from tests.serving.page.site import Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def call(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Calls an exported function of a module with arguments."""
    with Site(tmp_path_factory.mktemp("site"), FakeResponder()) as site:
        page = browser.new_page()
        page.goto(site.url)
        yield lambda module, name, *arguments: page.evaluate(
            "async ([module, name, given]) => (await import(`/web/${module}.js`))[name](...given)",
            [module, name, arguments],
        )
        page.close()


PARSE = """async (parts) => {
  const parser = (await import("/web/stream.js")).eventParser();
  return parts.flatMap((part) => parser.push(part));
}"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_are_the_same_wherever_the_stream_is_cut(browser: Any, call: Any, end: str) -> None:
    page = browser.contexts[-1].pages[-1]
    stream = (
        end.join(
            [
                ": still there",
                "",
                "event: piece",
                'data: {"text":',
                "data:  1}",
                "id: 7",
                "",
                "data:x",
                "",
                ": ",
                "",
                "event: none",
                "",
            ]
        )
        + end
    )
    expected = [{"event": "piece", "data": '{"text":\n 1}'}, {"event": "message", "data": "x"}]
    source = random.Random(0)
    for _ in range(20):
        cuts = sorted(source.sample(range(len(stream)), 6))
        parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert page.evaluate(PARSE, [*parts, "data: after", end]) == expected


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        *[
            (text, json.loads(text))
            for text in ("0.7", "-3", "1e-3", "true", "null", '["a", 1]', '"0.7"', '{"a": [1]}')
        ],
        *[
            ("True", True),
            ("None", None),
            (".5", 0.5),
            ("hello", "hello"),
            ("['a']", "['a']"),
            (" 4 ", 4),
            ("1 2", "1 2"),
        ],
    ],
)
def test_a_value_is_what_was_typed_and_is_shown_so_that_it_is_read_again(call: Any, typed: str, value: Any) -> None:
    assert call("format", "parseValue", typed) == value
    assert call("format", "parseValue", call("format", "showValue", value)) == value


def test_a_title_is_one_short_line_and_breaks_no_character(call: Any) -> None:
    assert call("format", "titleOf", "  Hello\n\tyou ") == "Hello you"
    assert call("format", "titleOf", "😀" * 60) == "😀" * 60
    assert call("format", "titleOf", "😀" * 61) == "😀" * 59 + "…"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "is not JSON"),
        ("3", "has no list of texts"),
        ("null", "has no list of texts"),
        ("[]", "has no list of texts"),
        ('{"turns": ["a", 1]}', "has no list of texts"),
        ('{"turns": ["a"], "persona": "I"}', '"persona" is no list of texts'),
    ],
)
def test_a_line_that_is_no_conversation_says_why(call: Any, line: str, wrong: str) -> None:
    with pytest.raises(Exception, match=wrong):
        call("transfer", "conversationOf", line)


def test_a_line_is_a_conversation_with_what_it_holds(call: Any) -> None:
    assert call("transfer", "conversationOf", '["a", "b"]') == {"turns": ["a", "b"], "title": "a"}
    line = {"turns": ["a", "b"], "persona": ["I."], "meta": {"id": 3}, "other": 1}
    assert call("transfer", "conversationOf", json.dumps(line)) == {
        **{"turns": ["a", "b"], "title": "a", "persona": ["I."], "meta": {"id": 3}}
    }


def turns(*texts: str) -> list[dict[str, Any]]:
    """A conversation that the user began."""
    return [{"speaker": "model" if n % 2 else "user", "text": text} for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("now", "job", "left"),
    [
        ((3, turns("a", "b"), False), ("say", "c", False, 3, 2), "say"),  # it never came
        ((4, turns("a", "b", "c"), True), ("say", "c", False, 3, 2), "reply"),  # said, and not replied to
        ((5, turns("a", "b", "c", "d"), False), ("say", "c", False, 3, 2), None),  # all there
        ((5, turns("a", "b", "x", "y"), False), ("say", "c", False, 3, 2), "conflict"),  # somebody else
        ((4, turns("a"), False), ("say", "c", False, 3, 2), "conflict"),  # somebody took it back
        ((4, turns("a\nc"), True), ("say", "c", True, 3, 1), "reply"),  # joined to what waited
        ((4, turns("a"), True), ("say", "c", True, 3, 1), "conflict"),
        ((4, turns("a", "b"), False), ("reply", None, False, 3, 1), None),
        ((4, turns("a"), True), ("retry", None, False, 3, 2), "reply"),
        ((3, turns("a", "b"), False), ("retry", None, False, 3, 2), "retry"),
    ],
)
def test_what_is_left_to_do_after_an_answer_was_lost(
    call: Any, now: tuple[Any, ...], job: tuple[Any, ...], left: str | None
) -> None:
    conversation = dict(zip(["version", "turns", "waiting"], now, strict=True))
    request = dict(zip(["kind", "said", "join", "version", "turns"], job, strict=True))
    found = call("resume", "whatIsLeft", conversation, request)
    assert (found["kind"] if isinstance(found, dict) else found) == left


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        *((text, False) for text in ("", " \n\t", "\u200b \u2060", "\xa0\u3000", "\u2800", "\x00\x1b", "\ufeff\u202e")),
        *((text, True) for text in (".", " a ", "\u200bа", "日", "😀", "\u0301", "\U0001f468\u200d\U0001f469")),
    ],
)
def test_a_text_without_anything_to_see_is_known(call: Any, text: str, seen: bool) -> None:
    assert call("format", "seen", text) is seen
