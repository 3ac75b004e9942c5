"""What ends a call is done, whatever becomes of who waits for it."""

import asyncio

import pytest
from gateway.finishing import Finishing


async def test_cancelling_who_waits_does_not_cancel_the_work() -> None:
    finishing, go, done = Finishing(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append("settled")

    waiting = asyncio.create_task(finishing.run(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not done
    go.set()
    await finishing.drain()
    assert done == ["settled"]


async def test_who_waits_is_told_of_a_failure() -> None:
    async def work() -> None:
        raise ValueError("nowhere to store")

    finishing = Finishing()
    with pytest.raises(ValueError, match="nowhere to store"):
        await finishing.run(work())
    await finishing.drain()
