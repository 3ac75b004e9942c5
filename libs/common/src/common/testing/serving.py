"""Tests over real HTTP: an app on a loopback port, and waiting for what comes true soon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn

_GRACE_SECONDS = 3


@asynccontextmanager
async def serving(app: Any, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """Serve an ASGI app under uvicorn, with further `options` of its, on a loopback port (a free one); its URL."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=_GRACE_SECONDS, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done(), "the app did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def is_ready(client: httpx2.AsyncClient) -> bool:
    """Whether the service behind a client says that it is."""
    return (await client.get("/readyz")).status_code == 200


async def eventually(holds: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> Any:
    """Wait until something holds; its value. TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            if value := await holds():
                return value
            await asyncio.sleep(0.02)
