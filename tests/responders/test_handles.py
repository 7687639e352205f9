"""Handles of replies that another thread computes, and of the replies of a Hybrid's parts."""

from collections.abc import Sequence

import pytest

from convmodel.responders.handles import CANCELLED_REPLY, HybridReplyHandle, ReplyFuture
from convmodel.responders.protocol import Candidate, Reply

REPLY = Reply((Candidate("Yes"),))


def test_a_future_keeps_the_first_of_reply_error_and_cancellation() -> None:
    future = ReplyFuture()
    assert not future.done
    future.set(REPLY)
    future.set(RuntimeError("late"))
    future.cancel()
    assert future.done and future.result() is REPLY and list(future) == ["Yes"]
    cancelled = ReplyFuture()
    cancelled.cancel()
    cancelled.set(REPLY)
    assert cancelled.result() is CANCELLED_REPLY and list(cancelled) == []


def test_a_future_raises_its_error_each_time() -> None:
    future = ReplyFuture()
    future.set(RuntimeError("broken"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            future.result()


def test_a_hybrid_reply_is_ranked_once_from_the_replies_of_all_parts() -> None:
    parts = [ReplyFuture(), ReplyFuture()]
    ranked: list[list[str]] = []

    def rank(replies: Sequence[Reply], future: ReplyFuture) -> None:
        ranked.append([reply.text for reply in replies])
        future.set(replies[1])

    handle = HybridReplyHandle(parts, rank)
    parts[0].set(Reply((Candidate("No"),)))
    parts[1].set(REPLY)
    assert list(handle) == ["Yes"] and handle.result() is handle.result()
    assert ranked == [["No", "Yes"]] and handle.result().seconds > 0


def test_a_cancelled_hybrid_reply_is_that_of_the_last_part_without_ranking() -> None:
    parts = [ReplyFuture(), ReplyFuture()]
    parts[1].set(REPLY)
    handle = HybridReplyHandle(parts, lambda *_: pytest.fail("ranked"))
    handle.cancel()
    reply = handle.result()
    assert (reply.text, reply.finish) == ("Yes", "cancelled")
