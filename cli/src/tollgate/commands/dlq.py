"""`dlq list|show|replay`: events that a service could not digest, straight from the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import nats.errors
import typer
from common.bus.connect import Bus, connect

from tollgate import dead_letters
from tollgate.commands.context import AsJson, print_json, run_file, settings
from tollgate.dead_letters import Letter
from tollgate.errors import RunnerError
from tollgate.reach import address_of, require_reachable

T = TypeVar("T")

_MOST_AT_ONCE = 10_000
Number = Annotated[int, typer.Argument(min=1, help="The letter's number, from `dlq list`.")]
Service = Annotated[str | None, typer.Option(help="Only letters of this service.")]


def create() -> typer.Typer:
    """The `dlq` commands."""
    made = typer.Typer(no_args_is_help=True, help="Events that a service could not digest: list, show, replay.")
    made.command("list")(_list)
    made.command("show")(_show)
    made.command("replay")(_replay)
    return made


def _list(
    service: Service = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST_AT_ONCE, help="Letters, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters, and why they died (NATS_URL, else the running stack's)."""
    letters = _on_the_bus(lambda bus: dead_letters.newest(bus, service, limit))
    if as_json:
        print_json([letter.summary() for letter in letters])
        return
    for letter in letters:
        print(f"{letter.number:>6}  {letter.died_at[:19]}  {letter.service:<13}  {letter.event_id}  {letter.error}")


def _show(number: Number, as_json: AsJson = False) -> None:
    """One dead letter, whole."""
    letter = _on_the_bus(lambda bus: dead_letters.one(bus, number))
    text = letter.body.decode("utf-8", "replace")
    if as_json:
        print_json({**letter.summary(), "body": text})
        return
    for name, value in letter.summary().items():
        print(f"{name:<9} {value}")
    print(_indented(text))


def _replay(
    number: Annotated[int | None, typer.Argument(min=1, help="The letter's number; none with --all.")] = None,
    service: Service = None,
    every: Annotated[bool, typer.Option("--all", help="All letters, or all of the service.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell a dead letter's event again, on its own subject; who had digested it knows it, and does nothing."""
    if (number is None) is not every:
        raise RunnerError("say which letter to replay, or --all")

    async def tell(bus: Bus) -> list[tuple[Letter, int]]:
        if number is not None:
            letters = [await dead_letters.one(bus, number)]
        else:
            letters = (await dead_letters.newest(bus, service, _MOST_AT_ONCE))[::-1]
        return [(letter, await dead_letters.replay(bus, letter)) for letter in letters]

    told = _on_the_bus(tell)
    if as_json:
        print_json([{"number": letter.number, "subject": letter.subject, "sequence": at} for letter, at in told])
        return
    for letter, at in told:
        print(f"{letter.number} told again on {letter.subject} as {at}")


def _on_the_bus(ask: Callable[[Bus], Awaitable[T]]) -> T:
    url = settings().nats_url or run_file().nats_url
    require_reachable({"NATS_URL": url})

    async def asked() -> T:
        try:
            bus = await connect(url, "dlq")
            try:
                return await ask(bus)
            finally:
                await bus.close()
        except (nats.errors.Error, OSError) as error:
            raise RunnerError(f"{address_of(url)} cannot be used: {error or type(error).__name__}") from error

    return asyncio.run(asked())


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2)
    except ValueError:
        return text
