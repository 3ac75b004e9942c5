"""`usage tail`: every call as it is recorded, straight from the bus."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import nats.errors
import typer
from common.bus.connect import connect

from tollgate.commands.context import AsJson, run_file, settings
from tollgate.errors import RunnerError
from tollgate.reach import address_of, require_reachable

_SUBJECT = "usage.recorded.>"


def create() -> typer.Typer:
    """The `usage` commands."""
    made = typer.Typer(no_args_is_help=True, help="What is used: tail.")
    made.command("tail")(_tail)
    made.callback()(_usage)
    return made


def _usage() -> None:
    """What is used."""


def _tail(as_json: AsJson = False) -> None:
    """Print each call when it is recorded, until Ctrl-C (NATS_URL, else the running stack's)."""
    url = settings().nats_url or run_file().nats_url
    require_reachable({"NATS_URL": url})
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(url, as_json=as_json))


async def _follow(url: str, *, as_json: bool) -> None:
    try:
        bus = await connect(url, "usage-tail")
        subscription = await bus.client.subscribe(_SUBJECT)
        async for message in subscription.messages:
            print(message.data.decode() if as_json else line_of(json.loads(message.data)), flush=True)
    except (nats.errors.Error, OSError) as error:
        raise RunnerError(f"{address_of(url)} cannot be used: {error or type(error).__name__}") from error


def line_of(event: dict[str, Any]) -> str:
    """One recorded call on one line: when, whose, what, how much."""
    call, usage = event["data"], event["data"]["usage"]
    tokens = f"{usage['total_tokens']} tokens"
    return (
        f"{event['time']}  {call['status']:<9}  {call['provider_type']}/{call['model']}  {tokens:<14}  "
        f"${call['cost_usd']}  key {call['api_key_id'] or 'none'}"
    )
