"""The gateway's plain ASGI app: which path leads where, and what every answer has in common.

No framework on this path: a route is a comparison of strings. Whatever goes wrong becomes one of the shapes of `shapes`;
an error that nobody expected is a 500 without details and a log line that says where.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import structlog
from common.http.app import Check, ready_checks
from common.ids import uuid7

from gateway.api.client import Client, ClientGone, Receive, Scope, Send
from gateway.api.doors import Doors
from gateway.api.health import PATH as HEALTH_PATH
from gateway.api.health import show_health
from gateway.api.operations import OPERATIONS
from gateway.api.responses_door import ResponsesDoor
from gateway.api.voices import message_error
from gateway.counts import Counts
from gateway.edge import GUARD_HEADERS, MAX_BODY_BYTES, Edge, target_of
from gateway.idempotency.once import HEADER, Asker, Once
from gateway.routing.health import Health
from gateway.shapes import ErrorAnswer, Header, Refusal, detail_answer, refusal_answer

log = structlog.get_logger()

_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FORWARDED = "/organization/"
"""What begins so is no inference."""
_PREFIXES = ("/openai/v1", "/api/openai/v1", "/v1")

_MOST_PATHS = 1_000

_BARE = frozenset({"/chat/completions", "/models", "/messages", "/messages/count_tokens", "/responses", *OPERATIONS})

Handler = Callable[[Client, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI callable; `checks` say whether the gateway is ready."""

    doors: Doors
    responses: ResponsesDoor
    edge: Edge
    once: Once
    standings: Health
    counts: Counts
    checks: Mapping[str, Check]
    cors_origins: frozenset[bytes]
    max_running: int
    openai_codes: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = Client(scope, receive, send, uuid7())
        self.counts.running += 1
        try:
            await self._route(scope, client)
        except ClientGone:
            return
        except Refusal as refusal:
            self.doors.refused(client, refusal)
            if client.path.startswith("/api/"):
                client.extra_headers += GUARD_HEADERS
            await client.refuse(self._refusal(client, refusal))
        except Exception as error:
            log.error("call_crashed", request_id=client.request_id, path=scope["path"], exc_info=error)
            if not client.status:
                await client.refuse(self._refusal(client, Refusal("internal_error")))
            else:
                raise
        finally:
            self.counts.running -= 1

    async def _route(self, scope: Scope, client: Client) -> None:
        method, path = scope["method"], client.path
        self._allow_origin(client)
        inner = _inner(path)
        if inner is not None and inner.startswith("/messages"):  # by this name Anthropic's clients look for it
            client.extra_headers.append((b"request-id", client.request_id.encode()))
        if method == "OPTIONS":
            await client.answer(204, b"", _preflight(client))
        elif inner is not None:
            await self._inference_once(scope, inner, client)
        elif path == HEALTH_PATH and method in ("GET", "HEAD"):
            client.extra_headers += GUARD_HEADERS
            await show_health(client, self.edge, self.standings)
        elif (owner := Edge.owner_of(path)) is not None:
            if method not in _METHODS:
                raise Refusal("method_not_allowed", f"{method} {path[:200]}")
            await self._forward_once(owner, scope, client)
        elif method in ("GET", "HEAD") and path in _PROBES:
            await _PROBES[path](self, client)
        else:
            raise Refusal("unknown_url", f"{method} {path[:200]}")

    async def _inference_once(self, scope: Scope, inner: str, client: Client) -> None:
        """An inference request; what carries an Idempotency-Key runs once for its virtual key."""
        method = scope["method"]
        if inner.startswith(_FORWARDED):
            await self._forward_read(inner, scope, client)
            return
        if method != "POST" or HEADER not in client.headers:
            await self._inference(method, inner, client)
            return
        key = self.doors.identify(client)
        work = partial(self._inference, method, inner, client)
        await self.once.run(client, Asker(f"key:{key.id}", key.id), _what(scope), self.doors.max_body_bytes, work)

    async def _forward_read(self, inner: str, scope: Scope, client: Client) -> None:
        """A question under `/v1` that a service answers, for who is signed in; it goes by the path's own name."""
        owner = Edge.owner_of(f"/v1{inner}")
        if owner is None or scope["method"] not in ("GET", "HEAD"):
            raise Refusal(
                "unknown_url" if owner is None else "method_not_allowed", f"{scope['method']} {client.path[:200]}"
            )
        await self.edge.forward(owner, {**scope, "raw_path": f"/v1{inner}".encode()}, client)

    async def _forward_once(self, owner: str, scope: Scope, client: Client) -> None:
        """A management request; a write that carries an Idempotency-Key is done once for its signed-in user. For those
        who are not signed in the header means nothing: there is nobody whom their answers could be kept for."""
        user_id = None
        if scope["method"] in _WRITES and HEADER in client.headers:
            user_id = self.edge.user_of(client)
        if user_id is None:
            await self.edge.forward(owner, scope, client)
            return
        work = partial(self.edge.forward, owner, scope, client)
        await self.once.run(client, Asker(f"user:{user_id}"), _what(scope), MAX_BODY_BYTES, work)

    async def _inference(self, method: str, inner: str, client: Client) -> None:
        if inner == "/chat/completions":
            self._let_in(method, client)
            await self.doors.chat(client)
        elif inner == "/messages":
            self._let_in(method, client)
            await self.doors.messages(client)
        elif inner in OPERATIONS:
            self._let_in(method, client)
            await self.doors.operate(client, inner)
        elif inner == "/messages/count_tokens":
            self._let_in(method, client)
            await self.doors.count_tokens(client)
        elif inner == "/responses":
            self._let_in(method, client)
            await self.responses.make(client)
        elif inner == "/responses/compact":
            self._let_in(method, client)
            await self.responses.compact(client)
        elif inner == "/responses/input_tokens":
            self._let_in(method, client)
            await self.responses.count_tokens(client)
        elif inner.startswith("/responses/"):
            await self.responses.kept(method, inner[len("/responses/") :], client)
        elif inner == "/models" or inner.startswith("/models/"):
            if method not in ("GET", "HEAD"):
                raise Refusal("method_not_allowed", f"{method} {client.path[:200]}")
            await self.doors.models(client, inner[len("/models/") :])
        else:
            raise Refusal("unknown_url", f"{method} {client.path[:200]}")

    def _let_in(self, method: str, client: Client) -> None:
        if method != "POST":
            raise Refusal("method_not_allowed", f"{method} {client.path[:200]}")
        if self.counts.running > self.max_running:
            raise Refusal("overloaded", retry_after_ms=1000)

    def _refusal(self, client: Client, refusal: Refusal) -> ErrorAnswer:
        """A refusal in the shape of the front door that it is said at."""
        if _is_for_messages(client.path):
            return message_error(refusal_answer(refusal, as_openai=self.openai_codes), client.request_id)
        if client.path.startswith("/api/") and _inner(client.path) is None:
            return detail_answer(refusal)
        return refusal_answer(refusal, as_openai=self.openai_codes)

    async def health(self, client: Client) -> None:
        """`OK`, for load balancers and people."""
        await client.answer(200, b"OK", content=_TEXT)

    async def api_health(self, client: Client) -> None:
        """The same as JSON."""
        await client.answer(200, b'{"status":"ok"}')

    async def livez(self, client: Client) -> None:
        """The process runs."""
        await client.answer(200, b"ok\n", content=_TEXT)

    async def readyz(self, client: Client) -> None:
        """Calls can be served: by name, what must hold."""
        results = await ready_checks(self.checks)
        body = ",".join(f'"{name}":{"true" if ok else "false"}' for name, ok in results.items())
        await client.answer(200 if all(results.values()) else 503, f"{{{body}}}".encode())

    async def metrics(self, client: Client) -> None:
        """What is counted, as Prometheus text."""
        await client.answer(200, self.counts.text().encode(), content=_TEXT)

    def _allow_origin(self, client: Client) -> None:
        origin = client.headers.get(b"origin")
        if origin is not None and origin in self.cors_origins:
            client.extra_headers += [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b"x-request-id, retry-after, retry-after-ms, x-should-retry"),
                (b"vary", b"origin"),
            ]


_PROBES: Mapping[str, Callable[[App, Client], Awaitable[None]]] = {
    "/health": App.health,
    "/api/health": App.api_health,
    "/livez": App.livez,
    "/readyz": App.readyz,
    "/metrics": App.metrics,
}


@lru_cache(_MOST_PATHS)
def _inner(path: str) -> str | None:
    """What follows the version prefix of an inference path, without a slash at its end; None for other paths."""
    if path.endswith("/") and len(path) > 1:
        path = path[:-1]
    for prefix in _PREFIXES:
        if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
            return path[len(prefix) :]
    return path if path in _BARE or path.startswith(("/models/", "/responses/")) else None


def _what(scope: Scope) -> bytes:
    """Method and target of a request."""
    return b"%b %b" % (scope["method"].encode(), target_of(scope))


def _is_for_messages(path: str) -> bool:
    return (_inner(path) or "").startswith("/messages")


def _preflight(client: Client) -> list[Header]:
    wanted = client.headers.get(b"access-control-request-headers", b"authorization, content-type")
    return [
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", wanted[:1000]),
        (b"access-control-max-age", b"600"),
    ]
