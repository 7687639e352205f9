"""The protocol of selectors that embed and rank texts."""

from convmodel.responders.protocol import ReplyHandle
from convmodel.responders.selector_worker import SelectorWorker
from convmodel.responders.text_selector import TextScores, TextSelector, TextValues
from tests.conftest import MakeSelector
from tests.serving.selectors import FakeSelector


def test_a_selector_and_a_fake_embed_and_rank(make_selector: MakeSelector) -> None:
    selectors: list[TextSelector] = [SelectorWorker(make_selector()), FakeSelector()]
    for selector in selectors:
        handle: ReplyHandle[TextScores] = selector.rank("Hello", ["Hi", "No"])
        assert len(handle.result().values) == 2 and list(handle) == []
        assert [len(vector) for vector in selector.embed(["Hi"]).result().values] == [selector.dimensions]
        assert selector.kind == "bi-encoder" and selector.load.waiting == 0


def test_values_without_counts_were_read_from_no_tokens() -> None:
    assert TextValues([1.0]) == TextValues([1.0], tokens=0, tokens_dropped=0)
