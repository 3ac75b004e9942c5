"""The same job as one ordinarily writes it: FastAPI, httpx2, redis-py, nats-py, json. What the gateway is measured against.

A key looked up by its digest, one Lua call that counts the request, the provider called, one acknowledged event, the
answer relayed. It has none of the gateway's care (holds, budgets, fallbacks, broken streams), so it costs less than
the full job would.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import nats
import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from nats.js import JetStreamContext

_ADMIT = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - 60)
if redis.call('ZCARD', KEYS[1]) >= 1000000 then return 0 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCRBY', KEYS[2], 1000)
return 1
"""


def create_app(provider_url: str, redis_url: str, nats_url: str, key: str) -> FastAPI:
    """The app; `key` is the one key that it knows."""
    known = {hashlib.sha256(key.encode()).hexdigest(): "bench"}
    held: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = await nats.connect(nats_url)
        held["events"] = client.jetstream()
        held["redis"] = redis.from_url(redis_url)
        held["admit"] = held["redis"].register_script(_ADMIT)
        async with httpx2.AsyncClient(limits=httpx2.Limits(max_connections=256)) as held["http"]:
            yield
        await client.close()
        await held["redis"].aclose()

    app = FastAPI(lifespan=lifespan)

    async def record(model: str, usage: Any) -> None:
        event = {"id": str(uuid.uuid4()), "model": model, "usage": usage, "at": time.time(), "padding": "x" * 400}
        stream: JetStreamContext = held["events"]
        await stream.publish("usage.recorded.ordinary.bench", json.dumps(event).encode())

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        secret = request.headers["authorization"].removeprefix("Bearer ")
        if hashlib.sha256(secret.encode()).hexdigest() not in known:
            return JSONResponse({"error": {"message": "invalid API key"}}, 401)
        if not await held["admit"](keys=["ordinary:rate", "ordinary:cost"], args=[time.time(), str(uuid.uuid4())]):
            return JSONResponse({"error": {"message": "rate limit exceeded"}}, 429)
        body = await request.json()
        headers = {"authorization": "Bearer sim-ok-ordinary"}
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
            return StreamingResponse(relay(body, headers), media_type="text/event-stream")
        answer = await held["http"].post(f"{provider_url}/chat/completions", json=body, headers=headers)
        decoded = answer.json()
        await record(body["model"], decoded["usage"])
        return JSONResponse(decoded)

    async def relay(body: dict[str, Any], headers: dict[str, str]) -> AsyncIterator[str]:
        usage = None
        async with held["http"].stream(
            "POST", f"{provider_url}/chat/completions", json=body, headers=headers
        ) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line[6:])
                    usage = chunk.get("usage") or usage
                    if chunk["choices"]:
                        yield f"data: {json.dumps(chunk)}\n\n"
        await record(body["model"], usage)
        yield "data: [DONE]\n\n"

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(os.environ["PROVIDER_URL"], os.environ["REDIS_URL"], os.environ["NATS_URL"], os.environ["KEY"]),
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # callers keep their connections while the other side is measured
    )
