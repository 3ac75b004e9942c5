"""`models sync|diff|search|price`: the catalog, over the management API."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from tollgate.commands.context import AsJson, admin_client, print_json
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient, named

_PATH = "/api/v1/llm/models"

Reference = Annotated[str, typer.Argument(help="A model's id, or provider/name.")]


def create() -> typer.Typer:
    """The `models` commands."""
    made = typer.Typer(no_args_is_help=True, help="Models and prices: sync, diff, search, price.")
    made.command("sync")(_sync)
    made.command("diff")(_diff)
    made.command("search")(_search)
    made.command("price")(_price)
    return made


def _sync(
    source: Annotated[str, typer.Argument(help="packaged, litellm, openrouter or provider:<instance>.")] = "packaged",
    as_json: AsJson = False,
) -> None:
    """Read a source now; what it changed."""
    with admin_client() as client:
        done = client.call("POST", f"{_PATH}/sync?{urlencode({'source': source})}")
    _show_sync(done, as_json)
    if done["error"]:
        raise RunnerError(f"{source} changed nothing: {done['error']}")


def _diff(
    sync_id: Annotated[str | None, typer.Argument(help="A sync's id; the latest when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a sync changed, model by model."""
    with admin_client() as client:
        found = client.call("GET", named(f"{_PATH}/syncs", sync_id or _latest(client)))
    if as_json:
        print_json(found)
        return
    print(_line_of_sync(found))
    changes: dict[str, list[Any]] = found["changes"]
    for name in changes.get("added", []):
        print(f"+ {name}")
    for change in changes.get("changed", []):
        print(f"~ {change['model']}  {_words_of(change)}")
    for name in changes.get("gone", []):
        print(f"- {name}")
    for held in changes.get("held", []):
        print(f"? {held['model']}  {held['reason']}")


def _search(
    words: Annotated[str, typer.Argument(help="Part of a name or description.")],
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Models by name or description."""
    asked = {"search": words, "limit": limit, **({"provider": provider} if provider else {})}
    with admin_client() as client:
        found: list[dict[str, Any]] = client.call("GET", f"{_PATH}?{urlencode(asked)}")
    if as_json:
        print_json(found)
        return
    for model in found:
        state = "" if model["enabled"] else "  disabled"
        print(f"{model['id']}  {model['provider_name']:<16}  {_cost_of(model):<24}  {model['name']}{state}")


def _price(reference: Reference, as_json: AsJson = False) -> None:
    """A model's prices, the latest first, with where and when each was read."""
    with admin_client() as client:
        [model] = client.call("GET", f"{_PATH}/compare?{urlencode({'ids': reference})}")
        rows = client.items(f"{named(_PATH, model['id'])}/prices")
    if as_json:
        print_json(rows)
        return
    print(f"{model['provider_name']}  {model['name']}  {_cost_of(model)}")
    for row in rows:
        rates = ", ".join(f"{name} {rate}" for name, rate in row["rates"].items())
        print(f"from {row['starts_at']}  {rates}  ({row['source']}, read {row['read_at']})")


def _latest(client: GatewayClient) -> str:
    found = client.call("GET", f"{_PATH}/syncs?limit=1")["items"]
    if not found:
        raise RunnerError("nothing was synced yet")
    return str(found[0]["id"])


def _show_sync(sync: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(sync)
    else:
        print(_line_of_sync(sync))


def _line_of_sync(sync: dict[str, Any]) -> str:
    figures = ", ".join(f"{sync[kind]} {kind}" for kind in ("added", "changed", "gone", "held"))
    return f"{sync['id']}  {sync['source']}  {figures}, {sync['prices_added']} prices"


def _words_of(change: dict[str, Any]) -> str:
    facts = ", ".join(change["facts"])
    price = change.get("price")
    moved = f"price {_rates_of(price['from'])} → {_rates_of(price['to'])}" if price else ""
    return "; ".join(filter(None, (facts, moved)))


def _rates_of(rates: dict[str, str] | None) -> str:
    return f"{rates.get('input_tokens', '–')}/{rates.get('output_tokens', '–')}" if rates else "none"


def _cost_of(model: dict[str, Any]) -> str:
    if model["cost_per_1m_input"] is None:
        return "no price"
    output = model["cost_per_1m_output"]
    return f"${model['cost_per_1m_input']:g} / {'–' if output is None else f'${output:g}'} per 1M"
