"""Wrong contexts, candidates and personas."""

import pytest

from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine


CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]


CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No"]


def test_wrong_contexts_candidates_and_personas_are_refused(make_selector: MakeSelector) -> None:
    selector = make_selector()
    with pytest.raises(TypeError, match="give a list of contexts, each a list of turns"):
        selector.score(["Hello"], CANDIDATES)
    with pytest.raises(ValueError, match="there are no candidates"):
        selector.score(CONTEXTS, [])
    with pytest.raises(ValueError, match=r"2 pools of \[1, 2\] candidates for 3 contexts"):
        selector.score(CONTEXTS, [["a"], ["b", "c"]])
    with pytest.raises(ValueError, match="1 personas for 3 contexts"):
        selector.score(CONTEXTS, CANDIDATES, personas=[["I am."]])
    with pytest.raises(ValueError, match="there are no turns"):
        selector.encode_contexts([[]])
