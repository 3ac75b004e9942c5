"""`billing rebuild`: the books rebuilt from the stream, by billing's own command, as the owner of its tables."""

from __future__ import annotations

import json
import subprocess
import sys

import typer

from tollgate.commands.context import AsJson, print_json, run_file, settings
from tollgate.errors import RunnerError
from tollgate.reach import require_reachable
from tollgate.settings import caller_environment


def create() -> typer.Typer:
    """The `billing` commands."""
    made = typer.Typer(no_args_is_help=True, help="The ledger: rebuild.")
    made.command("rebuild")(_rebuild)
    made.callback()(_billing)
    return made


def _billing() -> None:
    """The ledger."""


def _rebuild(as_json: AsJson = False) -> None:
    """Empty the books and replay the stream; kept only if they then say what they said (DATABASE_URL of the owner and
    NATS_URL, else the running stack's). Calls go on meanwhile; their events wait."""
    given = settings()
    owner_url = given.given_database_url or run_file().database_url
    nats_url = given.nats_url or run_file().nats_url
    require_reachable({"DATABASE_URL": owner_url, "NATS_URL": nats_url})
    done = subprocess.run(
        [sys.executable, "-m", "billing", "rebuild"],
        env={**caller_environment(), "DATABASE_URL": owner_url, "NATS_URL": nats_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RunnerError(
            f"the books were not rebuilt: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    rebuilt = json.loads(done.stdout)
    if as_json:
        print_json(rebuilt)
        return
    print(f"{rebuilt['events']} events replayed; the books say what they said:")
    for name, table in rebuilt["tables"].items():
        print(f"  {name:<16} {table['rows']:>10} rows  {table['fingerprint']}")
