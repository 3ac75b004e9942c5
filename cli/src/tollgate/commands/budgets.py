"""`budgets list|set|explain|delete`: budgets, over the public API, as admin."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tollgate.commands.context import AsJson, admin_client, print_json
from tollgate.errors import RunnerError
from tollgate.gateway_client import named

_PATH = "/api/budgets"
_SCOPES = ("user", "key", "team", "provider", "model", "global")
_PERIODS = ("daily", "weekly", "monthly", "total")
BudgetId = Annotated[str, typer.Argument(help="The budget's id.")]


def create() -> typer.Typer:
    """The `budgets` commands."""
    made = typer.Typer(no_args_is_help=True, help="Budgets: list, set, explain, delete.")
    made.command("list")(_list)
    made.command("set")(_set)
    made.command("explain")(_explain)
    made.command("delete")(_delete)
    return made


def _list(as_json: AsJson = False) -> None:
    """All budgets and how they stand."""
    with admin_client() as client:
        items: list[dict[str, Any]] = client.call("GET", _PATH)
    if as_json:
        print_json(items)
        return
    for item in items:
        print(_line_of(item))


def _set(
    limit: Annotated[str, typer.Argument(help="US dollars, as a decimal.")],
    period: Annotated[str, typer.Option(help=f"One of {', '.join(_PERIODS)}.")] = "monthly",
    scope: Annotated[str, typer.Option(help=f"One of {', '.join(_SCOPES)}.")] = "user",
    scope_id: Annotated[str | None, typer.Option(help="Which user, key, team, provider or <provider>/<model>.")] = None,
    zone: Annotated[str, typer.Option(help="Where days, weeks and months begin: an IANA name.")] = "UTC",
    soft: Annotated[bool, typer.Option("--soft", help="Only warn.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a budget, or change the one of this scope and period."""
    for value, known in ((period, _PERIODS), (scope, _SCOPES)):
        if value not in known:
            raise RunnerError(f"{value} is none of {', '.join(known)}")
    body = {"limit": limit, "period": period, "scope": scope, "zone": zone, "mode": "soft" if soft else "hard"}
    with admin_client() as client:
        made = client.call("POST", _PATH, body | ({"scope_id": scope_id} if scope_id else {}))
    print_json(made) if as_json else print(_line_of(made))


def _explain(budget_id: BudgetId, as_json: AsJson = False) -> None:
    """What a budget's figure is made of, and what it would still let through."""
    with admin_client() as client:
        found = client.call("GET", f"{named(_PATH, budget_id)}/explain")
    if as_json:
        print_json(found)
        return
    print(_line_of(found["budget"]))
    print(found["says"])
    for call in found["largest_calls"]:
        print(f"  ${call['cost_usd']}  {call['occurred_at']}  {call['request_id']}")


def _delete(budget_id: BudgetId, as_json: AsJson = False) -> None:
    """End a budget."""
    with admin_client() as client:
        client.call("DELETE", named(_PATH, budget_id))
    if as_json:
        print_json({"deleted": budget_id})
    else:
        print(f"deleted {budget_id}")


def _line_of(item: dict[str, Any]) -> str:
    whose = item["scope"] if item["scope_id"] is None else f"{item['scope']} {item['scope_id']}"
    return (
        f"{item['id']}  {whose}  {item['period']} {item['mode']}  ${item['spent']:.2f} of ${item['limit']:.2f}"
        f" ({item['percentage']:.1f} %)"
    )
