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


def test_a_key_that_is_taken_back_works_no_longer_than_a_few_seconds(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_who_waits_for_keys_that_cannot_be_read_does_not_try_in_turn() -> None:
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


def test_whoever_must_have_a_key_needs_one_even_when_there_are_none() -> None:
    with pytest.raises(APIError):
        Keys(required=True).owner(None)
    assert Keys().owner(None) == "local" and Keys(lambda: {}).owner("Bearer x") == "local"


def test_a_key_has_256_random_bits_and_only_its_hash_tells_of_it() -> None:
    one, other = new_key(), new_key()
    assert one != other and one.startswith("cm-") and len(one) == 3 + 43
    assert len(digest(one)) == 64 and one not in digest(one)
