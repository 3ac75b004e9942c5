"""`billing rebuild`: the books rebuilt from the stream, by billing's own command, as the owner of its tables.
Over the public API, as admin: `billing rerate`, calls of past days at the prices that the catalog has for them now;
`billing reconcile`, a provider's bill, asked for or from a file, against the ledger, and `billing accept` of its drift.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tollgate.commands.context import AsJson, admin_client, print_json, run_file, settings
from tollgate.errors import RunnerError
from tollgate.gateway_client import named
from tollgate.reach import require_reachable
from tollgate.settings import caller_environment

_RECONCILIATIONS = "/api/v1/billing/reconciliations"
_RERATINGS = "/api/v1/billing/rerating"


def create() -> typer.Typer:
    """The `billing` commands."""
    made = typer.Typer(no_args_is_help=True, help="The ledger: rebuild, rerate, reconcile, accept.")
    made.command("rebuild")(_rebuild)
    made.command("rerate")(_rerate)
    made.command("reconcile")(_reconcile)
    made.command("accept")(_accept)
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


def _rerate(
    first_day: Annotated[str, typer.Option("--from", help="The first UTC day, 2026-10-01.")],
    last_day: Annotated[str, typer.Option("--to", help="The last UTC day.")],
    provider: Annotated[str | None, typer.Option(help="Only calls of this provider type.")] = None,
    model: Annotated[str | None, typer.Option(help="Only calls of this model, by its name with the provider.")] = None,
    book: Annotated[str | None, typer.Option(help="Book what was shown under this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what calls would cost at the prices that the catalog has for them now; with --book, book the difference as
    corrections. Correct the price first: `POST /api/v1/llm/models/{id}/prices` with `starts_at` in the past."""
    body = {"first_day": first_day, "last_day": last_day, "provider_type": provider, "model": model}
    with admin_client() as client:
        found = client.call("POST", f"{named(_RERATINGS, book)}/book" if book else _RERATINGS, body)
    print_json(found) if as_json else _print_rerating(found)


def _reconcile(
    provider: Annotated[str, typer.Argument(help="The provider type: openai, anthropic, openrouter …")],
    first_day: Annotated[str | None, typer.Option("--from", help="Ask the provider: the first UTC day.")] = None,
    last_day: Annotated[str | None, typer.Option("--to", help="The last UTC day.")] = None,
    file: Annotated[Path | None, typer.Option(help="Take this file instead of asking.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="openai_costs, openai_usage, anthropic_cost …")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a provider's bill against the ledger: asked for with the admin key that billing has, or from a file."""
    path = _RECONCILIATIONS
    body: dict[str, Any] = {"provider_type": provider, "format": form}
    if file is not None and form and not (first_day or last_day):
        body["content"] = _text_of(file)
    elif file is None and first_day and last_day:
        path, body = f"{path}/fetch", body | {"first_day": first_day, "last_day": last_day}
    else:
        raise RunnerError("either --from and --to, or --file with --format")
    with admin_client() as client:
        found = client.call("POST", path, body)
    print_json(found) if as_json else _print_reconciliation(found)


def _accept(
    reconciliation_id: Annotated[str, typer.Argument(help="The reconciliation's id.")], as_json: AsJson = False
) -> None:
    """Book a bill's drift as one correction."""
    with admin_client() as client:
        found = client.call("POST", f"{named(_RECONCILIATIONS, reconciliation_id)}/accept")
    print_json(found) if as_json else _print_reconciliation(found)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunnerError(f"{file} cannot be read ({type(error).__name__})") from None


def _print_reconciliation(found: dict[str, Any]) -> None:
    for row in found["rows"] or ():
        if row["is_off"]:
            billed = f"${row['billed_usd']}" if row["billed_usd"] is not None else f"{row['billed_tokens']} tokens"
            booked = f"${row['booked_usd']}" if row["billed_usd"] is not None else f"{row['booked_tokens']} tokens"
            print(f"  {row['day']}  {row['model'] or 'all models'}  billed {billed}  booked {booked}")
    apart = "nothing booked" if found["drift_percent"] is None else f"{found['drift_percent']} %"
    word = "accepted" if found["accepted_at"] else "ALARMING" if found["is_alarming"] else "fine"
    days = f"{found['first_day']} to {found['last_day']}"
    print(f"{found['id']}  {found['provider_type']}  {days}  ${found['drift_usd']} apart ({apart}): {word}")


def _print_rerating(found: dict[str, Any]) -> None:
    for row in found["rows"]:
        print(
            f"  {row['day']}  {row['account']}  {row['provider_type']}/{row['model']}  {row['attempts']} attempts"
            f"  ${row['before_usd']} -> ${row['after_usd']}"
        )
    sums = f"{found['calls']} calls  ${found['before_usd']} -> ${found['after_usd']}  (${found['difference_usd']})"
    if found["booked_at"]:
        print(f"booked {found['booked_at']}: {sums}")
    elif found["calls"]:
        print(f"{sums}\nnothing is booked yet; to book this: --book {found['id']}")
    else:
        print(
            f"nothing would change ({found['seen_calls']} calls seen, {found['unpriced_attempts']} attempts unpriced)"
        )
