"""Results and protocols of responders."""

import pytest

from convmodel.responders.protocol import Candidate, CandidateSearch, Reply, ReplyHandle, Responder
from tests.fakes import FakeResponder


def test_the_text_of_a_reply_is_that_of_its_first_candidate() -> None:
    assert Reply((Candidate("Yes", 1.0), Candidate("No", 2.0))).text == "Yes"
    with pytest.raises(IndexError):
        _ = Reply(()).text


def test_a_responder_need_not_search_candidates() -> None:
    responder: Responder = FakeResponder()
    assert not isinstance(responder, CandidateSearch)
    handle: ReplyHandle[Reply] = responder.start(["Hello"], seed=1)
    assert "".join(handle) == handle.result().text
