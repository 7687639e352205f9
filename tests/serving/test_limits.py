"""Limits of concurrent replies and of requests per minute."""

import pytest

from convmodel.serving.auth import Keys
from convmodel.serving.errors import APIError
from convmodel.serving.limits import ConcurrencyLimit, Rate
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.serving.store.keys import digest
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of


@pytest.fixture
def keys() -> dict[str, str]:
    return {digest("cm-anna"): "anna", digest("cm-bob"): "bob"}


def test_requests_of_a_key_above_the_rate_limit_are_429(keys: dict[str, str]) -> None:
    service = Service(FakeResponder(), keys=Keys(lambda: keys), settings=Settings(requests_per_minute=2))
    with client_of(service) as client:
        anna, bob = {"Authorization": "Bearer cm-anna"}, {"Authorization": "Bearer cm-bob"}
        assert [client.get("/about", headers=anna).status_code for _ in range(3)] == [200, 200, 429]
        answer = client.get("/about", headers=anna)
        assert error_of(answer, 429)["code"] == "rate_limit_exceeded"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert client.get("/about", headers=bob).status_code == 200
        assert client.get("/health").status_code == 200


def test_jobs_are_admitted_all_or_none_and_released() -> None:
    limit = ConcurrencyLimit(running=2, total=4, per_owner=3, per_user=2)
    limit.acquire(2, owner="a", user="x")
    for count, owner, user, code in (
        (1, "a", "x", "too_many_of_this_user"),
        (2, "a", "y", "too_many_of_this_key"),
        (3, "b", None, "queue_full"),
    ):
        with pytest.raises(APIError) as refused:
            limit.acquire(count, owner=owner, user=user)
        assert refused.value.code == code and refused.value.status == 429
        assert limit.open == 2
    for count, owner, user in ((3, "a", "x"), (4, "a", None), (5, "b", None)):  # which waiting would not help
        with pytest.raises(APIError, match=f"{count} replies at once; ") as refused:
            limit.acquire(count, owner=owner, user=user)
        assert refused.value.status == 400
    limit.acquire(2, owner="b")
    limit.release(owner="a", user="x", seconds=30.0)
    limit.acquire(1, owner="a", user="x")
    assert limit.open == 4


def test_retry_after_grows_with_open_jobs_and_their_duration() -> None:
    def wait(open: int, seconds: float) -> float:
        limit = ConcurrencyLimit(running=2, total=100)
        for _ in range(3):
            limit.acquire(1, owner="a")
            limit.release(owner="a", seconds=seconds)
        limit.acquire(open, owner="a")
        return limit.retry_after()

    assert wait(2, 4.0) == 2.0 and wait(9, 4.0) == 16.0 and wait(9, 8.0) == 32.0 and wait(99, 90.0) == 60.0


def test_a_rate_without_a_limit_allows_all_requests() -> None:
    rate = Rate(None)
    for _ in range(1000):
        rate.check("a")
    strict = Rate(1)
    strict.check("a")
    with pytest.raises(APIError):
        strict.check("a")
