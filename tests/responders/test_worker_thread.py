"""The worker thread of a chooser and of a hybrid."""

import threading

import pytest

from convmodel.errors import QueueFull
from convmodel.responders.protocol import Candidate, Load, Reply
from convmodel.responders.worker_thread import SingleWorker

REPLY = Reply((Candidate("Yes"),))


def test_replies_are_computed_one_at_a_time_and_an_error_fails_only_its_own() -> None:
    worker = SingleWorker("test")
    release = threading.Event()

    def wait() -> Reply:
        release.wait(30)
        return REPLY

    def fail() -> Reply:
        raise RuntimeError("broken")

    futures = [worker.submit(compute) for compute in (wait, fail, wait)]
    assert worker.load == Load(1, 2)
    release.set()
    assert futures[0].result() is futures[2].result() is REPLY
    with pytest.raises(RuntimeError, match="broken"):
        futures[1].result()
    worker.close()


def test_the_queue_is_bounded_and_a_closed_worker_refuses_requests() -> None:
    with pytest.raises(ValueError, match="max_waiting=0; it must be at least 1"):
        SingleWorker("test", 0)
    worker = SingleWorker("test", 1)
    release = threading.Event()

    def wait() -> Reply:
        release.wait(30)
        return REPLY

    future = worker.submit(wait)
    with pytest.raises(QueueFull, match="1 requests are open, the maximum; try again later"):
        worker.submit(lambda: REPLY)
    release.set()
    assert future.result() is REPLY
    worker.close()
    worker.close()
    with pytest.raises(RuntimeError, match="the test is closed; make a new one"):
        worker.submit(lambda: REPLY)
