"""THE table of the bus: every stream, bucket, durable consumer and Redis key, with its one owner.

`provision` creates exactly what stands here, and nothing else creates anything. Whoever asks "what do services tell
each other?" reads this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DAY_SECONDS = 86_400
MEBIBYTE = 1 << 20

_UTC_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True, slots=True)
class Service:
    """One service: `name` for processes, images and durable consumers; `package` for import, schema, role, settings."""

    name: str
    package: str
    port: int
    has_schema: bool = True

    @property
    def prefix(self) -> str:
        """What its settings' names begin with: `CATALOG_SYNC`."""
        return self.package.upper()


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream: file storage, limits retention; a full one refuses (discard new) and never deletes unread."""

    name: str
    subjects: tuple[str, ...]
    owner: str
    max_age_seconds: int = 90 * DAY_SECONDS
    max_bytes: int = 4096 * MEBIBYTE
    max_message_bytes: int = 64 * 1024
    duplicate_window_seconds: int = 900
    discard_old: bool = False
    may_purge: bool = False
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A key-value bucket of snapshots: one writer, mirrored by whoever decides by it."""

    name: str
    owner: str
    max_bytes: int = 256 * MEBIBYTE
    max_value_bytes: int = 256 * 1024
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable pull consumer; delivers until acknowledged, however often (`max_deliver` unlimited)."""

    service: str
    stream: str
    subjects: tuple[str, ...]
    ack_wait_seconds: int = 30
    max_in_flight: int = 2_000
    batch: int = 500
    headers: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class RedisKey:
    """One kind of key in Redis. `{id}` is an api key's id, `{YYYY}:{MM}` a UTC month; amounts are nano-USD."""

    pattern: str
    kind: str
    owner: str
    holds: str


SERVICES = (
    Service("gateway", "gateway", 8080, has_schema=False),
    Service("billing", "billing", 8081),
    Service("catalog-sync", "catalog_sync", 8082),
    Service("keyvault", "keyvault", 8083),
    Service("analytics", "analytics", 8084),
)

USAGE = Stream(
    "USAGE",
    ("usage.recorded.>", "usage.rejected.>"),
    "gateway",
    holds="every call, whatever its end; refusals (sampled under attack)",
)
CONTENT = Stream(
    "CONTENT",
    ("content.recorded.>",),
    "gateway",
    max_age_seconds=30 * DAY_SECONDS,
    max_bytes=1024 * MEBIBYTE,
    max_message_bytes=MEBIBYTE + 64 * 1024,
    discard_old=True,
    may_purge=True,
    holds="prompt and answer of calls that keep them; deletable",
)
BILLING = Stream(
    "BILLING", ("billing.>",), "billing", holds="money: thresholds of budgets, reconciliations, re-ratings"
)
KEYS = Stream(
    "KEYS",
    ("keys.>", "credentials.>"),
    "keyvault",
    max_bytes=512 * MEBIBYTE,
    holds="virtual keys and credentials that changed; never a secret",
)
CATALOG = Stream(
    "CATALOG", ("catalog.>",), "catalog-sync", max_bytes=512 * MEBIBYTE, holds="models and prices that changed"
)
ALERTS = Stream("ALERTS", ("alerts.>",), "analytics", max_bytes=256 * MEBIBYTE, holds="alerts raised and resolved")
AUDIT = Stream(
    "AUDIT", ("audit.recorded.>",), "every service", max_bytes=512 * MEBIBYTE, holds="who did what to which thing"
)
DLQ = Stream(
    "DLQ",
    ("dlq.>",),
    "every consumer",
    max_bytes=512 * MEBIBYTE,
    max_message_bytes=2 * MEBIBYTE,
    holds="events that a consumer cannot digest, whole, with the error in their headers",
)

STREAMS = (USAGE, CONTENT, BILLING, KEYS, CATALOG, ALERTS, AUDIT, DLQ)

KEYS_BUCKET = Bucket(
    "keys",
    "keyvault",
    holds="virtual keys, known by the hashes of their secrets; `user.<id>`, `team.<id>`: their limits",
)
SESSIONS_BUCKET = Bucket("sessions", "keyvault", holds="public keys that session tokens are verified with; revocations")
CREDENTIALS_BUCKET = Bucket("credentials", "keyvault", holds="which version of which secret a provider is called with")
CATALOG_BUCKET = Bucket("catalog", "catalog-sync", holds="providers, models with dated prices, aliases, tier rules")
BUDGETS_BUCKET = Bucket("budgets", "billing", holds="budgets beyond the monthly ones of keys, users and teams")

BUCKETS = (KEYS_BUCKET, SESSIONS_BUCKET, CREDENTIALS_BUCKET, CATALOG_BUCKET, BUDGETS_BUCKET)

CONSUMERS = (
    Consumer("billing", "USAGE", ("usage.recorded.>",)),
    Consumer("analytics", "USAGE", ("usage.recorded.>",)),
    Consumer("keyvault", "USAGE", ("usage.recorded.>",)),
    Consumer("catalog-sync", "USAGE", ("usage.recorded.>", "usage.rejected.model_not_found")),
    Consumer("keyvault", "AUDIT", ("audit.recorded.>",), batch=200),
    Consumer("analytics", "BILLING", ("billing.rerated",), batch=10),
)


def consumer_of(service: str, stream: str = "USAGE") -> Consumer:
    """The row of the consumer that a service has on a stream; KeyError when it has none."""
    for row in CONSUMERS:
        if row.service == service and row.stream == stream:
            return row
    raise KeyError(f"{service} has no consumer on {stream}")


REDIS_KEYS = (
    RedisKey("rate_limit:{id}", "ZSET", "gateway", "one member a request of the last 60 s, score = its millisecond"),
    RedisKey(
        "token_limit:{id}", "HASH", "gateway", "tokens of the last 60 s, by the second in which their calls began"
    ),
    RedisKey("rate_limit:{scope}", "ZSET", "gateway", "the same of a `user:<id>` or `team:<id>`; so the next two"),
    RedisKey("concurrency:{id}", "ZSET", "gateway", "calls that run now, by the millisecond at which their lease ends"),
    RedisKey("cost:{id}:{YYYY}:{MM}", "string", "gateway", "what was settled; billing restores it if Redis lost it"),
    RedisKey("cost:{scope}:{period}", "string", "gateway", "the same of every other budget's scope and period"),
    RedisKey("held:{id}:{YYYY}:{MM}", "string", "gateway", "the sum of the open holds below, kept beside them"),
    RedisKey("held:{scope}:{period}", "string", "gateway", "the same of every other budget's scope and period"),
    RedisKey("quota:{scope}:{YYYY}:{MM}", "string", "gateway", "calls of a month that count against a tier's quota"),
    RedisKey(
        "hold:{request}/{attempt}", "HASH", "gateway", "one reservation: counters, epoch, amount, and what the call is"
    ),
    RedisKey("holds", "ZSET", "gateway", "open holds by the millisecond at which their lease ends"),
    RedisKey(
        "reaped:{request}/{attempt}",
        "HASH",
        "gateway",
        "what a reaper counted for an abandoned hold, in which counters; a day; billing restores it if Redis lost it",
    ),
    RedisKey(
        "idempotency:{digest}", "HASH", "gateway", "an Idempotency-Key: what it was used for, by which request; a day"
    ),
    RedisKey("answer:{digest}", "string", "gateway", "cache Redis, sealed: the answer to an Idempotency-Key; a day"),
    RedisKey(
        "response:{digest}", "string", "gateway", "cache Redis, sealed: an answer for those who ask for the cache"
    ),
    RedisKey("flight:{digest}", "string", "gateway", "cache Redis: who is fetching such an answer now; half a minute"),
    RedisKey("stored:{id}", "string", "gateway", "cache Redis, sealed: a response that its client asked to keep"),
    RedisKey("stored-item:{id}", "string", "gateway", "cache Redis, sealed: which stored response holds an item"),
    RedisKey("stored-of:{id}", "string", "gateway", "cache Redis: a virtual key's stored responses, in a circle"),
    RedisKey("gateway:logs", "LIST", "gateway", "events that wait for NATS to come back"),
    RedisKey(
        "settle:again", "LIST", "billing", "settlements that a gateway is to make again, by the final; at most 10,000"
    ),
    RedisKey(
        "epoch",
        "string",
        "billing",
        "`<id>@<run id of the server it is good for>`, set once the counters are right; without it admission is closed",
    ),
    RedisKey(
        "other:{scope}:{period}", "HASH", "billing", "`total` of what settlement does not count, and its `version`"
    ),
    RedisKey(
        "catalog:list:{slot}",
        "string",
        "catalog-sync",
        "an answer of the public list of models; in the cache Redis, five minutes, one of 512 slots",
    ),
    RedisKey("revoked:{id}", "string", "keyvault", "a revoked key; written before the revocation is answered"),
)


def revoked_key(api_key_id: str) -> str:
    """The Redis key that says an api key is revoked."""
    return f"revoked:{api_key_id}"


def rate_limit_key(api_key_id: str) -> str:
    """The Redis key of an api key's sliding window."""
    return f"rate_limit:{api_key_id}"


def cost_key(api_key_id: str, month: str) -> str:
    """The Redis key of an api key's settled spend in a month `2026-11`: `cost:<id>:2026:11`."""
    return f"cost:{api_key_id}:{month.replace('-', ':')}"


def held_key(api_key_id: str, month: str) -> str:
    """The Redis key of the sum of an api key's open holds in a month."""
    return f"held:{api_key_id}:{month.replace('-', ':')}"


def counter_suffix(scope: str, period: str) -> str:
    """What follows `cost:` and `held:` for a scope `user:u1` and a period `2026-W47` (`common.periods`): both, but for a
    key's UTC month, whose public name is `<id>:2026:11`."""
    kind, _, api_key_id = scope.partition(":")
    if kind == "key" and _UTC_MONTH.fullmatch(period):
        return f"{api_key_id}:{period.replace('-', ':')}"
    return f"{scope}:{period}"


def reaped_key(request_id: str, attempt: int) -> str:
    """The Redis key of what a reaper counted of an attempt: its `cost` in nano-USD, and the suffixes of its `counters`."""
    return f"reaped:{request_id}/{attempt}"


def quota_key(scope: str, month: str) -> str:
    """The Redis key of a month's counted calls of `user:<id>` or `key:<id>`: `quota:user:u1:2026:11`."""
    return f"quota:{scope}:{month.replace('-', ':')}"


def other_key(scope: str, period: str) -> str:
    """The Redis key of what billing counts besides settlement, e.g. scope `key:<id>`, period `2026-11`."""
    return f"other:{scope}:{period}"


def catalog_list_key(slot: int) -> str:
    """The key, in the cache Redis, of a slot for answers of the public list of models."""
    return f"catalog:list:{slot}"


EPOCH_KEY = "epoch"
GATEWAY_LOGS_KEY = "gateway:logs"
SETTLE_AGAIN_KEY = "settle:again"
REAPED_SECONDS = 86_400
"""How long it is known of a call that a reaper told of it."""
MOST_SETTLED_AGAIN = 10_000
"""Entries of that list; what is more waits in billing's database."""
