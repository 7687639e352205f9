"""A client that waits and what it waits for in, the result out; or the end of it when the client leaves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request

from convmodel.serving.errors import Refusal
from convmodel.serving.sse import left

Result = TypeVar("Result")


class ClientLeft(Refusal):
    """Nobody waits any more; whatever is answered is not read."""

    def __init__(self) -> None:
        super().__init__(499, "the client left", code="client_left")


async def unless_left(request: Request, waiting: Coroutine[Any, Any, Result], stop: Callable[[], None]) -> Result:
    """Waits for something as long as the client does.

    Args:
        request: of the client, whose body was read.
        waiting: gives the result.
        stop: ends what is being made; called when the client leaves and when anything else goes wrong.

    Raises:
        ClientLeft: when the client did.
    """
    coming = asyncio.ensure_future(waiting)
    leaving = asyncio.ensure_future(left(request.receive))
    both: set[asyncio.Future[Any]] = {coming, leaving}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            return coming.result()
        raise ClientLeft()
    finally:
        stop()
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
