"""API keys: revocation, failures of the store, and required keys."""

import threading
import time

import pytest

from convmodel.serving.auth import Keys
from convmodel.serving.errors import APIError
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.keys import digest, new_key


@pytest.fixture
def keys() -> dict[str, str]:
    return {digest("cm-anna"): "anna", digest("cm-bob"): "bob"}


def test_a_revoked_key_stops_working_within_seconds(keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = Keys(lambda: keys)
    known.refresh()
    assert known.owner("Bearer cm-anna") == "anna"
    del keys[digest("cm-anna")]
    later = time.monotonic() + 5
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not known.fresh
    known.refresh()
    with pytest.raises(APIError, match="not known"):
        known.owner("Bearer cm-anna")


def test_waiting_requests_do_not_each_retry_keys_that_cannot_be_read() -> None:
    tries: list[float] = []
    codes: list[str | None] = []

    def hanging() -> dict[str, str]:
        tries.append(time.monotonic())
        time.sleep(0.2)
        raise Unavailable("it does not answer")

    known = Keys(hanging, required=True)

    def refresh() -> None:
        with pytest.raises(APIError) as refused:
            known.refresh()
        codes.append(refused.value.code)

    threads = [threading.Thread(target=refresh) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(tries), codes) == (1, ["store_unavailable"] * 5)


def test_required_keys_are_required_even_if_there_are_none() -> None:
    with pytest.raises(APIError):
        Keys(required=True).owner(None)
    assert Keys().owner(None) == "local" and Keys(lambda: {}).owner("Bearer x") == "local"


def test_a_key_has_256_random_bits_and_is_stored_as_its_hash() -> None:
    key, other = new_key(), new_key()
    assert key != other and key.startswith("cm-") and len(key) == 3 + 43
    assert len(digest(key)) == 64 and key not in digest(key)
