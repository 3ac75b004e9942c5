"""`rotate-encryption` and `audit verify`: looking after stored secrets and the trail, over the management API, as admin."""

from __future__ import annotations

import time

import typer

from tollgate.commands.context import AsJson, admin_client, print_json
from tollgate.errors import RunnerError

_MOST_IDLE_STEPS = 20
_IDLE_SECONDS = 0.25


def rotate_encryption(as_json: AsJson = False) -> None:
    """Bring every stored secret under the newest of BYOK_ENCRYPTION_KEYS, while serving; stopped, it goes on next time."""
    rewrapped, idle = 0, 0
    with admin_client() as client:
        while True:
            step = client.call("POST", "/api/v1/llm/providers/encryption/rotate")
            rewrapped += step["rewrapped"]
            idle = 0 if step["rewrapped"] else idle + 1
            if not step["remaining"] or idle > _MOST_IDLE_STEPS:
                break
            if idle:
                time.sleep(_IDLE_SECONDS)
    if step["remaining"]:
        raise RunnerError(f"{step['remaining']} secrets are being changed by somebody else: run this again")
    if as_json:
        print_json({**step, "rewrapped": rewrapped})
    else:
        print(f"{rewrapped} secrets encrypted anew; all are under master key {step['master_key']}")


def create() -> typer.Typer:
    """The `audit` commands."""
    made = typer.Typer(no_args_is_help=True, help="The trail of who did what.")
    made.command("verify")(_verify)
    made.command("list")(_list)
    return made


def _verify(as_json: AsJson = False) -> None:
    """Go through the whole trail, entry by entry; fails when its chain of hashes is broken."""
    with admin_client() as client:
        found = client.call("GET", "/api/v1/audit/verify")
    if as_json:
        print_json(found)
    if not found["intact"]:
        raise RunnerError(f"the trail is broken at entry {found['broken_at']}")
    if not as_json:
        print(f"{found['entries']} entries, the chain is intact; its last hash is {found['last_hash']}")


def _list(limit: int = 50, as_json: AsJson = False) -> None:
    """The latest entries."""
    with admin_client() as client:
        items = client.call("GET", f"/api/v1/audit?limit={limit}")["items"]
    if as_json:
        print_json(items)
        return
    for item in items:
        print(f"{item['id']:>8}  {item['at']}  {item['action']:<32}  {item['actor']}  {item['subject']}")


COMMANDS = (rotate_encryption,)
