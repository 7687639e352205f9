import asyncio
import sqlite3
from pathlib import Path

import pytest

from convmodel.serving.store import (
    Store,
)


def test_a_deletion_that_cannot_be_cleaned_up_after_is_told_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("convmodel.serving.store.database.CLEANING_SECONDS", 0)
    with Store(str(tmp_path / "s.db")) as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("begin immediate")
        asyncio.run(store.clean())
        assert store.unclean
        assert "not wiped from the file yet: the store is not available: database is locked" in caplog.text
        other.rollback()
        other.close()
