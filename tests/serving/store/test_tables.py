import pytest
from sqlalchemy import Connection, select, update

from convmodel.serving.store import Store
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.tables import CONVERSATIONS, SCHEMA, VERSION
from tests.serving.store.helpers import create


def write_meta(connection: Connection, value: object) -> object:
    """Store a value in a JSON column, and return what is read from it."""
    connection.execute(update(CONVERSATIONS).values(meta=value))
    return connection.execute(select(CONVERSATIONS.c.meta)).scalar_one()


def test_a_new_store_records_its_schema_version(store: Store) -> None:
    assert store.read(lambda connection: connection.execute(select(SCHEMA.c.version)).scalar_one()) == VERSION


@pytest.mark.parametrize("value", [None, "", "\x00 ü \u2028", {"a": [1, 2.5, None, True, {}]}, [], 0, False])
def test_a_json_column_returns_the_stored_value(store: Store, value: object) -> None:
    create(store)
    stored = store.write(write_meta, value)
    assert stored == value and type(stored) is type(value)


def test_a_json_column_rejects_nan(store: Store) -> None:
    create(store)
    with pytest.raises(Unavailable, match="not JSON compliant"):
        store.write(write_meta, float("nan"))
