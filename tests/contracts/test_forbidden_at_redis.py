"""What Redis itself refuses each service: keys of others, commands that tell of everybody or end everything.

Every kind of key of the table is tried by every service that has no business with it, with and without a script around.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis
from common.contracts.privileges import PRIVILEGES, RedisAccess, redis_users
from common.contracts.topology import REDIS_KEYS
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from .users import GuardedRedis, guarded_redis, password_of

ROOT = Path(__file__).resolve().parents[2]
OF_CACHE = {row.pattern for row in REDIS_KEYS if "cache Redis" in row.holds}
KINDS = tuple(row.pattern.partition("{")[0] for row in REDIS_KEYS)
OF_EVERYBODY = (
    *("FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "MONITOR", "SAVE", "BGREWRITEAOF"),
    *("CONFIG GET requirepass", "CONFIG SET appendonly no", "ACL LIST", "ACL SETUSER me on nopass ~* +@all"),
    *("SHUTDOWN NOSAVE", "REPLICAOF 10.0.0.1 6379", "CLIENT LIST", "CLIENT KILL TYPE normal"),
    *("SCRIPT FLUSH", "FUNCTION LIST", "MODULE LIST", "SLOWLOG GET", "SUBSCRIBE a", "PUBLISH a b", "SWAPDB 0 1"),
    *("MIGRATE 10.0.0.1 6379 cost: 0 10", "RENAME a b", "DUMP a", "RESTORE a 0 x", "LATENCY DOCTOR"),
)
WORDS = (
    ("redis", "billing", "ZADD rate_limit:k1 1 r1"),
    ("redis", "billing", "DEL hold:r1/1"),
    ("redis", "billing", "RPUSH gateway:logs forged"),
    ("redis", "gateway", "SET epoch mine"),
    ("redis", "gateway", "HSET other:key:k1:2026-11 total -1000"),
    ("redis", "gateway", "DEL revoked:k1"),
    ("redis", "gateway", "EVAL redis.call('DEL','revoked:k1') 0"),
    ("redis", "gateway", "EVAL redis.call('SET','epoch','mine') 0"),
    ("redis", "gateway", "EVAL redis.call('FLUSHALL') 0"),
    ("redis", "keyvault", "GET cost:k1:2026:11"),
    ("redis", "keyvault", "SET epoch mine"),
    ("redis", "keyvault", "EVAL redis.call('SET','revoked:k1','1') 0"),
    ("cache-redis", "catalog-sync", "GET answer:d1"),
    ("cache-redis", "catalog-sync", "DEL catalog:list:1"),
    ("cache-redis", "gateway", "SET catalog:list:1 forged"),
)
_CALL = re.compile(r"redis\.call\(\s*'(?P<command>[A-Z]+)'")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, GuardedRedis]]:
    """Both kinds of Redis, of this file's own."""
    folder = tmp_path_factory.mktemp("guarded")
    with guarded_redis(folder, "redis") as money, guarded_redis(folder, "cache-redis") as cache:
        yield {"redis": money, "cache-redis": cache}


def every_access() -> list[tuple[str, RedisAccess]]:
    """Each user of each Redis."""
    return [*redis_users("redis"), *redis_users("cache-redis")]


async def is_refused(client: redis.Redis, command: str) -> bool:
    """Whether the server says that this user may not do it."""
    name, _, rest = command.partition(" ")
    arguments = [rest.rpartition(" ")[0], "0"] if name == "EVAL" else rest.split()
    try:
        await client.execute_command(name, *arguments)
    except (NoPermissionError, ResponseError) as error:
        said = str(error).lower()
        return isinstance(error, NoPermissionError) or "permission" in said or "acl failure" in said
    return False


@pytest.mark.parametrize(("service", "access"), every_access(), ids=lambda each: getattr(each, "server", each))
async def test_keys_of_others_are_refused(stores: dict[str, GuardedRedis], service: str, access: RedisAccess) -> None:
    known = {*access.writes, *access.reads}
    strange = [f"{kind}x" if kind.endswith(":") else kind for kind in KINDS if kind not in known] + ["anything", "x:y"]
    assert len(strange) > 5
    async with stores[access.server].as_service(service) as client:
        for key in strange:
            for command in ("SET {} 1", "GET {}", "DEL {}", "EVAL return redis.call('GET','{}') 0"):
                assert await is_refused(client, command.format(key)), (service, command.format(key))
        for kind in access.reads:
            key = f"{kind}x" if kind.endswith(":") else kind
            assert await is_refused(client, f"SET {key} 1"), (service, key)
            assert await is_refused(client, f"HSET {key} total 1"), (service, key)


@pytest.mark.parametrize(("service", "access"), every_access(), ids=lambda each: getattr(each, "server", each))
async def test_nobody_but_the_operator_rules_the_server(
    stores: dict[str, GuardedRedis], service: str, access: RedisAccess
) -> None:
    async with stores[access.server].as_service(service) as client:
        allowed = [command for command in OF_EVERYBODY if not await is_refused(client, command)]
    assert allowed == (["SCAN 0"] if (service, access.server) == ("billing", "redis") else [])


@pytest.mark.parametrize(("server", "service", "command"), WORDS, ids=[" ".join(row) for row in WORDS])
async def test_it_is_refused(stores: dict[str, GuardedRedis], server: str, service: str, command: str) -> None:
    async with stores[server].as_service(service) as client:
        assert await is_refused(client, command)


async def test_who_needs_no_redis_has_no_login(stores: dict[str, GuardedRedis]) -> None:
    for server, store in stores.items():
        users = {service for service, _ in redis_users(server)}  # type: ignore[arg-type]
        for name, password in (("analytics", password_of("analytics")), ("billing", "wrong"), ("default", "")):
            assert name not in users or password == "wrong"
            client = redis.Redis(
                host="127.0.0.1", port=store.port, username=name, password=password, retry=Retry(NoBackoff(), 0)
            )
            with pytest.raises((AuthenticationError, ResponseError)):
                await client.get("cost:k1:2026:11")


async def test_the_file_of_users_holds_no_password(tmp_path: Path) -> None:
    with guarded_redis(tmp_path, "redis"):
        [config] = tmp_path.rglob("redis.conf")
        assert config.stat().st_mode & 0o777 == 0o600
        assert "user billing reset on #" in config.read_text()
        assert password_of("billing") not in config.read_text()


@pytest.mark.parametrize(("service", "least"), [("gateway", 20), ("billing", 5)])
def test_every_command_of_a_services_scripts_is_granted(service: str, least: int) -> None:
    [granted] = [access.commands for name, access in redis_users("redis") if name == service]
    source = ROOT / "services" / service / "src"
    texts = [path.read_text() for kind in ("*.lua", "*.py") for path in source.rglob(kind)]
    called = {found["command"].lower() for text in texts for found in _CALL.finditer(text)}
    assert len(called) >= least
    assert called <= set(granted)


def test_each_owner_of_keys_may_write_them() -> None:
    for row in REDIS_KEYS:
        kind, server = row.pattern.partition("{")[0], "cache-redis" if row.pattern in OF_CACHE else "redis"
        writers = {
            each.service for each in PRIVILEGES for one in each.redis if one.server == server and kind in one.writes
        }
        assert row.owner in writers, row.pattern
        if writers != {row.owner}:
            assert kind in ("cost:", "quota:", "reaped:", "settle:again"), kind
            assert writers == {"gateway", "billing"}
