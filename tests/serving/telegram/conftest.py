"""Short waits for tests."""

import pytest
from aiogram.client.session.aiohttp import AiohttpSession


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(self: AiohttpSession) -> None:  # without a quarter of a second for TLS connections to close
        if self._session is not None:
            await self._session.close()

    monkeypatch.setattr(AiohttpSession, "close", close)
    monkeypatch.setattr("convmodel.serving.telegram.rate_limit.FIRST", 0.05)
