"""Reads the system's journals and the provider's: stream, DLQ, ledger, Redis, and the simulator's file.

A reader remembers where it stopped, so that each round reads what is its own; `Reader.read` is called once nothing
moves any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio as redis
from common.bus.connect import Bus, connect
from common.contracts.topology import GATEWAY_LOGS_KEY, SETTLE_AGAIN_KEY, cost_key, held_key, other_key
from common.contracts.usage import USAGE_RECORDED
from common.money import NANO
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from .journals import Counters, Event, KeyTerms, Line, ProviderCall

_FETCH = 500


@dataclass(frozen=True)
class System:
    """What the system says of a round."""

    events: list[Event]
    sequences: list[int]
    dead: frozenset[str]
    lines: list[Line]
    booked: frozenset[str]
    counters: dict[str, Counters]
    open_holds: list[str]


class Reader:
    """Reads one stack, round by round."""

    def __init__(self, database_url: str, nats_url: str, redis_url: str, journal: Path) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._redis_url = redis_url
        self._journal = journal
        self._sequence = 0
        self._dead_sequence = 0
        self._line = 0
        self._offset = 0

    async def is_at_rest(self) -> bool:
        """Whether nothing is held, nothing waits in Redis, billing has booked all there is, and no settlement is to be
        made again."""
        return (
            await self._is_quiet()
            and await self._has_booked()
            and not await self._has_resettlements()
            and await self._is_quiet()
        )

    async def _is_quiet(self) -> bool:
        client = redis.from_url(self._redis_url, socket_timeout=5)
        try:
            waiting = [await client.llen(key) for key in (GATEWAY_LOGS_KEY, SETTLE_AGAIN_KEY)]
            return not await client.zcard("holds") and not any(waiting)
        finally:
            await client.aclose()

    async def _has_resettlements(self) -> bool:
        connection = await asyncpg.connect(self._database_url)
        try:
            return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM billing.resettlements)"))
        finally:
            await connection.close()

    async def _has_booked(self) -> bool:
        bus = await connect(self._nats_url, "faults")
        try:
            try:
                info = await bus.jetstream.consumer_info("USAGE", "billing")
            except NotFoundError:
                return True
            return not info.num_pending and not info.num_ack_pending
        finally:
            await bus.close()

    async def read(self, keys: Mapping[str, KeyTerms], month: str) -> System:
        """Everything since the last time; counters are those of the round's keys."""
        bus = await connect(self._nats_url, "faults")
        try:
            messages = await _read_stream(bus, "USAGE", self._sequence + 1)
            dead = await _read_stream(bus, "DLQ", self._dead_sequence + 1)
        finally:
            await bus.close()
        sequences = [_sequence(msg) for msg in messages]
        self._sequence = max([self._sequence, *sequences])
        self._dead_sequence = max([self._dead_sequence, *map(_sequence, dead)])
        lines = await self._read_lines()
        counters, holds = await self._read_counters(keys, month)
        return System(
            events=[event for msg in messages if (event := event_of(msg.data, _sequence(msg), _stored_at(msg)))],
            sequences=sequences,
            dead=frozenset(str(json.loads(msg.data).get("id")) for msg in dead if msg.subject == "dlq.billing"),
            lines=lines,
            booked=await self._read_booked(),
            counters=counters,
            open_holds=holds,
        )

    def read_provider(self) -> list[ProviderCall]:
        """What the simulator has written since the last time: the last record of each call."""
        with self._journal.open("rb") as journal:
            journal.seek(self._offset)
            text = journal.read()
        self._offset += len(text)
        records = {record["call_id"]: record for record in map(json.loads, text.splitlines())}
        return [_provider_call(record) for record in records.values() if record["client_request_id"]]

    async def read_positions(self) -> dict[tuple[str, str], Decimal]:
        """What stands in the whole ledger, by request and account."""
        connection = await asyncpg.connect(self._database_url)
        try:
            rows = await connection.fetch(
                "SELECT request_id, account, sum(amount) AS amount FROM billing.ledger_entries GROUP BY 1, 2"
            )
        finally:
            await connection.close()
        return {(row["request_id"], row["account"]): row["amount"] for row in rows}

    async def _read_lines(self) -> list[Line]:
        connection = await asyncpg.connect(self._database_url)
        try:
            rows = await connection.fetch(
                "SELECT id, transaction_id, account, amount, request_id, year, month FROM billing.ledger_entries"
                " WHERE id > $1 ORDER BY id",
                self._line,
            )
        finally:
            await connection.close()
        self._line = max([self._line, *(row["id"] for row in rows)])
        return [
            Line(
                str(row["transaction_id"]),
                row["account"],
                row["amount"],
                row["request_id"],
                f"{row['year']:04}-{row['month']:02}",
            )
            for row in rows
        ]

    async def _read_booked(self) -> frozenset[str]:
        connection = await asyncpg.connect(self._database_url)
        try:
            rows = await connection.fetch("SELECT event_id FROM billing.usage_event_ids")
        finally:
            await connection.close()
        return frozenset(str(row["event_id"]) for row in rows)

    async def _read_counters(self, keys: Iterable[str], month: str) -> tuple[dict[str, Counters], list[str]]:
        client = redis.from_url(self._redis_url, socket_timeout=5)
        try:
            found = {}
            for key in keys:
                cost = int(await client.get(cost_key(key, month)) or 0)
                other = int(await client.hget(other_key(f"key:{key}", month), "total") or 0)
                found[key] = Counters(cost + other, int(await client.get(held_key(key, month)) or 0))
            return found, [name.decode() async for name in client.scan_iter("hold:*")]
        finally:
            await client.aclose()


def event_of(body: bytes, sequence: int, stored_at: float) -> Event | None:
    """A `usage.recorded` message as a record; None for another type of event."""
    message = json.loads(body, parse_float=Decimal)
    if message["type"] != USAGE_RECORDED:
        return None
    call: dict[str, Any] = message["data"]
    used, rates = call["usage"], call["price"]["rates"]
    bound = (call.get("decision") or {}).get("bound_usd")
    return Event(
        sequence=sequence,
        stored_at=stored_at,
        event_id=message["id"],
        kind=call["kind"],
        request_id=call["request_id"],
        key_id=call["api_key_id"],
        status=call["status"],
        input_tokens=used["input_tokens"],
        output_tokens=used["output_tokens"],
        is_estimated=used["estimated"],
        input_price=Decimal(rates["input_tokens"]) / 1_000_000,
        output_price=Decimal(rates["output_tokens"]) / 1_000_000,
        is_fallback=call["price"]["is_fallback"],
        cost=Decimal(call["cost_usd"]),
        operator_cost=Decimal(call["operator_cost_usd"]),
        period=call["period"],
        bound_nano=None if bound is None else int(Decimal(bound) * NANO),
    )


async def _read_stream(bus: Bus, stream: str, first: int) -> list[Msg]:
    """All messages from a sequence on."""
    try:
        info = await bus.jetstream.stream_info(stream)
    except NotFoundError:  # the whole stream is lost, and with it everything it held
        return []
    if info.state.last_seq < first:
        return []
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first, mem_storage=True
    )
    subscription = await bus.jetstream.pull_subscribe("", stream=stream, config=config)
    messages: list[Msg] = []
    while not messages or _sequence(messages[-1]) < info.state.last_seq:
        try:
            messages += await subscription.fetch(_FETCH, timeout=5)
        except NatsTimeoutError:
            break
    await subscription.unsubscribe()
    return messages


def _sequence(msg: Msg) -> int:
    return int(msg.metadata.sequence.stream)


def _stored_at(msg: Msg) -> float:
    return float(msg.metadata.timestamp.timestamp())


def _provider_call(record: dict[str, Any]) -> ProviderCall:
    return ProviderCall(
        request_id=record["client_request_id"],
        started_at=datetime.fromisoformat(record["at"]).timestamp(),
        status=record["status"],
        is_ended=record["phase"] == "ended",
        is_complete=record["complete"],
        input_tokens=record["prompt_tokens"],
        output_tokens=record["completion_tokens"],
    )
