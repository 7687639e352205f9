"""A store in each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convmodel.serving.store import Store
from tests.serving.databases import has_postgres, new_database, postgres


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[str]:
    """A PostgreSQL server; tests are skipped where there is none."""
    if not has_postgres():
        pytest.skip("needs postgres and initdb on the PATH")
    with postgres() as folder:
        yield folder


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return new_database(request.getfixturevalue("postgres_folder"))


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    """An empty store."""
    with Store(address) as store:
        yield store
