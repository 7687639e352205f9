from pathlib import Path

import pytest
from sqlalchemy import text

from convmodel.serving.store import Store, keys
from convmodel.serving.store.errors import KeyAlreadyUsed


def test_only_the_hash_of_a_key_is_stored(store: Store) -> None:
    key = store.write(keys.add, "anna")
    other = store.write(keys.add, "bob")
    assert key.startswith("cm-") and len(key) == 46 and key != other
    assert store.digests() == {keys.digest(key): "anna", keys.digest(other): "bob"}
    stored = store.read(lambda connection: str(connection.execute(text("select * from convmodel_keys")).all()))
    assert key not in stored and key[3:] not in stored
    assert list(store.read(keys.listing)) == ["anna", "bob"]
    assert store.write(keys.remove, "anna")
    assert not store.write(keys.remove, "anna")
    assert set(store.digests().values()) == {"bob"}


@pytest.mark.parametrize("name", ["", "local", "a b", "é", "x" * 65, "a\n", "-x", "tele:gram"])
def test_an_invalid_key_name_is_rejected(tmp_path: Path, name: str) -> None:
    with Store(str(tmp_path / "s.db")) as store, pytest.raises(ValueError, match="cannot be the name of a key"):
        store.write(keys.add, name)


def test_a_key_name_is_unique(store: Store) -> None:
    store.write(keys.add, "anna")
    with pytest.raises(KeyAlreadyUsed, match="there is a key named 'anna' already"):
        store.write(keys.add, "anna")
