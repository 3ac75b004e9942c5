"""Who may do what at the servers: one row a service, from which every server's users are made.

Beside `topology`, since it speaks of the same subjects, buckets and keys. What follows from there is not said twice: who
owns a stream may publish its subjects, who has a durable consumer may pull it, who owns a bucket may put into it. A row
says the rest: which buckets a service reads, what else it tells, and which keys of which Redis it needs, by which
commands. What stands in no row is refused by the server itself, whatever runs in a service's place.

PostgreSQL needs no row: a role of the service's own name has its schema, and its migrations name the grants
(`common.postgres.migrate`). Each NATS user has inboxes of its own, so that none hears the answers to another.
The texts that servers are configured with are `common.contracts.logins`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from common.contracts.topology import (
    BUCKETS,
    BUDGETS_BUCKET,
    CATALOG_BUCKET,
    CONSUMERS,
    CREDENTIALS_BUCKET,
    DLQ,
    KEYS_BUCKET,
    SESSIONS_BUCKET,
    STREAMS,
    USAGE,
    Bucket,
    Consumer,
    Stream,
)

OPERATOR = "tollgate"
"""The NATS user of `provision` and of the command line, who may do everything. Redis' is the default user."""

RedisServer = Literal["redis", "cache-redis"]

# What a client says of itself when it connects. Nothing here tells of data or changes a server.
_GREETING = ("auth", "hello", "ping", "select", "client|setinfo", "client|setname")
_SCRIPTS = ("eval", "evalsha", "script|load")


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Keys of one Redis, by what stands before their first `{` in `REDIS_KEYS`, and the commands for them.

    A key that may be written may be read. Commands of scripts count, too: Redis holds them against the same list.
    """

    server: RedisServer
    writes: tuple[str, ...]
    reads: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Privileges:
    """What one service may do beyond what it owns."""

    service: str
    reads_buckets: tuple[Bucket, ...]
    tells: tuple[str, ...] = ()
    looks_through: tuple[Stream, ...] = ()
    redis: tuple[RedisAccess, ...] = ()


@dataclass(frozen=True, slots=True)
class NatsPermissions:
    """Subjects that a user may publish to (but for the denied) and subscribe to."""

    publish: tuple[str, ...]
    deny_publish: tuple[str, ...]
    subscribe: tuple[str, ...]


PRIVILEGES = (
    Privileges(
        "gateway",
        reads_buckets=(KEYS_BUCKET, SESSIONS_BUCKET, CREDENTIALS_BUCKET, CATALOG_BUCKET, BUDGETS_BUCKET),
        redis=(
            RedisAccess(
                "redis",
                writes=(
                    *("rate_limit:", "token_limit:", "concurrency:", "cost:", "held:", "quota:"),
                    *("hold:", "holds", "reaped:", "idempotency:", "gateway:logs", "settle:again"),
                ),
                reads=("epoch", "revoked:", "other:"),
                commands=(
                    *(*_SCRIPTS, "info", "time", "get", "mget", "set", "del", "exists", "expire", "pexpire"),
                    *("incr", "incrby", "decrby", "hget", "hmget", "hgetall", "hset", "hdel", "hexists", "hincrby"),
                    *("zadd", "zrem", "zcard", "zrange", "zrangebyscore", "zremrangebyscore"),
                    *("llen", "lrange", "lrem", "rpush"),
                ),
            ),
            RedisAccess(
                "cache-redis",
                writes=("answer:", "response:", "flight:", "stored:", "stored-item:", "stored-of:"),
                commands=("info", "get", "set", "del", "incr", "pexpire"),
            ),
        ),
    ),
    Privileges(
        "billing",
        reads_buckets=(KEYS_BUCKET, SESSIONS_BUCKET, CATALOG_BUCKET),
        tells=("audit.recorded.billing",),
        looks_through=(USAGE, DLQ),
        redis=(
            RedisAccess(
                "redis",
                # `cost:`, `quota:` and `reaped:` are the gateways': billing restores them after a loss. By SCAN it finds
                # counters in which nothing is booked; what keys are called is no secret.
                writes=("epoch", "other:", "settle:again", "cost:", "quota:", "reaped:"),
                reads=("held:", "gateway:logs"),
                commands=(
                    *(*_SCRIPTS, "script|exists", "info", "multi", "exec", "get", "mget", "set", "mset", "del"),
                    *("hget", "hset", "expire", "scan", "llen", "rpush"),
                ),
            ),
        ),
    ),
    Privileges(
        "catalog-sync",
        reads_buckets=(SESSIONS_BUCKET, CREDENTIALS_BUCKET, CATALOG_BUCKET),
        tells=("audit.recorded.catalog-sync",),
        redis=(RedisAccess("cache-redis", writes=("catalog:list:",), commands=("get", "set")),),
    ),
    Privileges(
        "keyvault",
        reads_buckets=(KEYS_BUCKET, SESSIONS_BUCKET, CREDENTIALS_BUCKET),
        tells=("audit.recorded.keyvault",),
        redis=(RedisAccess("redis", writes=("revoked:",), commands=("set", "del")),),
    ),
    Privileges("analytics", reads_buckets=(SESSIONS_BUCKET,), tells=("audit.recorded.analytics",)),
)


def inbox_of(user: str) -> str:
    """What the inboxes of a connection begin with: a user hears its own answers and no other's."""
    return f"_INBOX.{user}"


def privileges_of(service: str) -> Privileges:
    """A service's row; KeyError when it has none."""
    for row in PRIVILEGES:
        if row.service == service:
            return row
    raise KeyError(f"{service} has no privileges")


def nats_permissions(row: Privileges) -> NatsPermissions:
    """What a service's row and the table of the bus come to, as subjects."""
    return NatsPermissions(
        publish=tuple(dict.fromkeys(_publishes(row))),
        deny_publish=tuple(dict.fromkeys(_denied(row))),
        subscribe=(f"{inbox_of(row.service)}.>",),
    )


def redis_rules(access: RedisAccess) -> tuple[str, ...]:
    """The rules of a Redis user: from nothing to what the row names."""
    return (
        "resetkeys",
        "resetchannels",
        "-@all",
        *(f"~{_pattern(key)}" for key in access.writes),
        *(f"%R~{_pattern(key)}" for key in access.reads),
        *(f"+{command}" for command in (*_GREETING, *access.commands)),
    )


def redis_users(server: RedisServer) -> Iterator[tuple[str, RedisAccess]]:
    """Who has a user at a Redis, and for what."""
    for row in PRIVILEGES:
        for access in row.redis:
            if access.server == server:
                yield row.service, access


def _publishes(row: Privileges) -> Iterator[str]:
    yield from (subject for stream in STREAMS if stream.owner == row.service for subject in stream.subjects)
    yield from row.tells
    for consumer in _consumers(row):
        yield f"dlq.{row.service}"
        yield from _pulls(consumer)
    for bucket in BUCKETS:
        if bucket.owner == row.service:
            yield from _keeps(bucket)
    for bucket in row.reads_buckets:
        yield from _follows(f"KV_{bucket.name}")
    for stream in row.looks_through:
        yield from _looks_through(stream.name)


def _pulls(consumer: Consumer) -> Iterator[str]:
    place = f"{consumer.stream}.{consumer.service}"
    yield f"$JS.API.CONSUMER.INFO.{place}"
    yield f"$JS.API.CONSUMER.MSG.NEXT.{place}"
    yield f"$JS.ACK.{place}.>"
    yield f"$JS.ACK.*.*.{place}.>"  # with a domain and an account in it, as servers to come will answer


def _keeps(bucket: Bucket) -> Iterator[str]:
    yield f"$KV.{bucket.name}.>"
    yield f"$JS.API.STREAM.INFO.KV_{bucket.name}"
    yield f"$JS.API.STREAM.MSG.GET.KV_{bucket.name}"  # how a key is looked up


def _follows(stream: str) -> Iterator[str]:
    """A bucket is a stream; whoever follows it makes a consumer that goes by itself when nobody listens."""
    yield f"$JS.API.STREAM.INFO.{stream}"
    yield f"$JS.API.CONSUMER.CREATE.{stream}"
    yield f"$JS.API.CONSUMER.CREATE.{stream}.>"
    yield f"$JS.API.CONSUMER.INFO.{stream}.*"
    yield f"$JS.API.CONSUMER.DELETE.{stream}.*"
    yield f"$JS.FC.{stream}.>"


def _looks_through(stream: str) -> Iterator[str]:
    yield f"$JS.API.STREAM.INFO.{stream}"
    yield f"$JS.API.CONSUMER.CREATE.{stream}"
    for verb in ("INFO", "MSG.NEXT", "DELETE"):
        yield f"$JS.API.CONSUMER.{verb}.{stream}.*"


def _denied(row: Privileges) -> Iterator[str]:
    """Who looks through a stream must neither take the messages of its durable consumers nor end them."""
    for consumer in CONSUMERS:
        if consumer.stream in {stream.name for stream in row.looks_through}:
            place = f"{consumer.stream}.{consumer.service}"
            yield f"$JS.API.CONSUMER.DELETE.{place}"
            if consumer.service != row.service:
                yield f"$JS.API.CONSUMER.MSG.NEXT.{place}"


def _consumers(row: Privileges) -> list[Consumer]:
    return [consumer for consumer in CONSUMERS if consumer.service == row.service]


def _pattern(key: str) -> str:
    return f"{key}*" if key.endswith(":") else key
