"""The one front door: `/api/*` goes to the service that owns it, and comes back once its effect holds here.

A management write's answer names the revisions of the snapshots that carry its effect; it is held back until this
gateway's own mirrors have them, at most a second, so that the next call can already count on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import structlog
from common.bus.mirror import Mirror
from common.errors import Unauthorized
from common.http.app import GUARDS, REVISION_HEADER
from common.http.sessions import COOKIE, Caller, Sessions

from gateway.api.client import Client, Scope, bearer_of
from gateway.shapes import Header, Refusal
from gateway.upstream.client import (
    Deadlines,
    UpstreamClient,
    UpstreamError,
    UpstreamRequest,
    UpstreamTimeout,
    header_block,
    split_url,
)

log = structlog.get_logger()

# Which service owns which paths: the longest prefix counts.
OWNERS: Mapping[str, str] = {
    "/api/auth": "keyvault",
    "/api/v1/keys": "keyvault",
    "/api/v1/users": "keyvault",
    "/api/v1/teams": "keyvault",
    "/api/v1/llm/providers": "keyvault",
    "/api/v1/audit": "keyvault",
    "/api/v1/llm/models": "catalog-sync",
    "/api/v1/providers": "catalog-sync",
    "/api/v1/aliases": "catalog-sync",
    "/api/v1/tiers": "catalog-sync",
    "/api/v1/billing": "billing",
    "/api/budgets": "billing",
    "/api/costs": "analytics",
    "/api/v1/analytics": "analytics",
    "/v1/organization": "analytics",
}
_PREFIXES = tuple(sorted(OWNERS, key=len, reverse=True))

GUARD_HEADERS: tuple[Header, ...] = tuple((name.encode(), value.encode()) for name, value in GUARDS.items())
"""On our own management answers; those of the services bring them along."""

MAX_BODY_BYTES = 8 << 20
_MAX_ANSWER_BYTES = 64 << 20
_BODY_SECONDS = 30.0
_MIRROR_SECONDS = 1.0
_DEADLINES = Deadlines(connect_seconds=2, first_byte_seconds=60, between_chunks_seconds=60, total_seconds=120)

# What belongs to one connection and not to the message (RFC 9110, 7.6.1), and what the client library writes itself.
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host"}
    | {b"content-length", b"expect"}
)
_OURS = frozenset({b"x-request-id", b"x-forwarded-host", b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"})


class Edge:
    """Forwards management requests. `urls` are the services' own addresses; `sessions` tell who is signed in."""

    def __init__(
        self, client: UpstreamClient, urls: Mapping[str, str], mirrors: Mapping[str, Mirror], sessions: Sessions
    ) -> None:
        self._client = client
        self._origins = {name: split_url(url)[0] for name, url in urls.items()}
        self._mirrors = mirrors
        self._sessions = sessions

    @staticmethod
    def owner_of(path: str) -> str | None:
        """The service that owns a path."""
        return next((OWNERS[p] for p in _PREFIXES if path == p or path.startswith(p + "/")), None)

    def user_of(self, client: Client) -> str | None:
        """The user whose session a request shows; None when it shows none that counts."""
        caller = self._caller(client)
        return caller.user_id if caller is not None else None

    def is_admin(self, client: Client) -> bool | None:
        """Whether a request shows an admin's session; None when it shows none that counts."""
        caller = self._caller(client)
        return caller.is_admin if caller is not None else None

    def _caller(self, client: Client) -> Caller | None:
        token = bearer_of(client.headers) or _cookie(client.headers.get(b"cookie", b""))
        try:
            return self._sessions.verify(token.decode("latin-1")) if token else None
        except Unauthorized:
            return None

    async def forward(self, owner: str, scope: Scope, client: Client) -> None:
        """Forward one request and hand back its answer."""
        body = await client.body(MAX_BODY_BYTES, _BODY_SECONDS)
        try:
            request = UpstreamRequest(
                scope["method"].encode(),
                self._origins[owner],
                target_of(scope),
                _request_headers(scope, client),
                body or None,
            )
            client.standing = "unsure"
            async with await self._client.send(request, _DEADLINES) as response:
                answered = await response.body(_MAX_ANSWER_BYTES)
                status, headers = response.status, response.headers
        except ValueError:
            client.standing = "open"
            raise Refusal("invalid_request", "the URL or a header has characters that cannot be passed on") from None
        except UpstreamError as error:
            if not error.sent:
                client.standing = "open"
            log.warning("owner_away", owner=owner, error=type(error).__name__)
            status = 504 if isinstance(error, UpstreamTimeout) else 503
            answer = b'{"detail":"the %b service does not answer"}' % owner.encode()
            await client.answer(status, answer, [(b"retry-after", b"1"), *GUARD_HEADERS])
            return
        client.standing = "final" if status < 400 else "open"
        await self._wait_for_mirrors(headers)
        content = next((h for h in headers if h[0] == b"content-type"), (b"content-type", b"application/json"))
        await client.answer(status, answered, _answer_headers(headers), content)

    async def _wait_for_mirrors(self, headers: list[Header]) -> None:
        named = next((value for name, value in headers if name == REVISION_HEADER.encode()), b"")
        for part in filter(None, named.decode().split(",")):
            bucket, _, revision = part.partition("=")
            mirror = self._mirrors.get(bucket)
            if mirror is not None and not await mirror.wait_for(int(revision), _MIRROR_SECONDS):
                log.warning("mirror_behind", bucket=bucket, wanted=int(revision), has=mirror.revision)


def target_of(scope: Scope) -> bytes:
    """Path and query, as they were written."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    return raw.partition(b"?")[0] + (b"?" + query if query else b"")


def _cookie(header: bytes) -> bytes:
    """The session cookie's value; empty when there is none."""
    pairs = (part.strip().partition(b"=") for part in header.split(b";"))
    return next((value for name, _, value in pairs if name == COOKIE.encode()), b"")


def _request_headers(scope: Scope, client: Client) -> bytes:
    named = {name.strip().lower() for name in client.headers.get(b"connection", b"").split(b",")}
    left_out = _HOP | _OURS | named
    kept = [(name, value) for name, value in scope["headers"] if name not in left_out]
    peer = scope.get("client")
    own = [
        (b"x-request-id", client.request_id.encode()),
        (b"x-forwarded-host", client.headers.get(b"host", b"")),
        (b"x-forwarded-proto", str(scope.get("scheme", "http")).encode()),
        (b"x-forwarded-for", str(peer[0]).encode() if peer else b""),
    ]
    return header_block([*kept, *own])


def _answer_headers(headers: list[Header]) -> list[Header]:
    left_out = {b"content-type", b"x-request-id", b"date", b"server", REVISION_HEADER.encode()}
    return [(name, value) for name, value in headers if name not in _HOP and name not in left_out]
