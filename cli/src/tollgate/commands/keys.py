"""`keys list|create|revoke`: virtual keys, over the management API, as admin."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import typer

from tollgate.commands.context import AsJson, admin_client, print_json
from tollgate.gateway_client import named


def create() -> typer.Typer:
    """The `keys` commands."""
    made = typer.Typer(no_args_is_help=True, help="Virtual keys: list, create, revoke.")
    made.command("list")(_list)
    made.command("create")(_create)
    made.command("revoke")(_revoke)
    return made


def _list(as_json: AsJson = False) -> None:
    """All keys; only their last four characters are known."""
    with admin_client() as client:
        items = client.items("/api/v1/keys")
    if as_json:
        print_json(items)
        return
    for item in items:
        print(_line_of(item))


def _line_of(item: dict[str, Any]) -> str:
    state = "enabled" if item["enabled"] else "disabled"
    limit, budget = item["rate_limit"], item["monthly_budget"]
    rate = "no rate limit" if limit is None else f"{limit} a minute"
    money = "no budget" if budget is None else f"${Decimal(str(budget)):.2f} a month"
    return f"{item['id']}  …{item['last4']}  {state:<8}  {rate:<14}  {money:<16}  {item['name']}"


def _create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    rate_limit: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    monthly_budget: Annotated[str | None, typer.Option(help="US dollars a month, as a decimal.")] = None,
    as_json: AsJson = False,
) -> None:
    """A new key; it is shown this once."""
    wanted = {"name": name, "rate_limit": rate_limit, "monthly_budget": monthly_budget}
    with admin_client() as client:
        made = client.call(
            "POST", "/api/v1/keys", {field: value for field, value in wanted.items() if value is not None}
        )
    if as_json:
        print_json(made)
    else:
        print(f"{made['id']}  {made['key']}")


def _revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], as_json: AsJson = False) -> None:
    """End a key; it is refused everywhere when this returns."""
    with admin_client() as client:
        client.call("DELETE", named("/api/v1/keys", key_id))
    if as_json:
        print_json({"revoked": key_id})
    else:
        print(f"revoked {key_id}")
