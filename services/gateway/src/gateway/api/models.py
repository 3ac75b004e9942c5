"""`GET /v1/models` and `GET /v1/models/{id}`: what a key may call, in OpenAI's shape. Pure.

A model is listed under the name by which it is called: bare where its maker serves it or nobody else does, with its
provider in front elsewhere. Aliases are listed, too. Only what has a credential can be called, so only that is listed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from common.providers.registry import PROVIDERS, makers_of

from gateway.mirrors.catalog import Model
from gateway.mirrors.keys import ApiKey
from gateway.routing.plan import Planner
from gateway.routing.tiers import within


def list_models(planner: Planner, key: ApiKey) -> bytes:
    """The list for a key."""
    listed = {one["id"]: one for one in (*_models(planner, key), *_aliases(planner, key)) if may_use(key, one["id"])}
    return msgspec.json.encode({"object": "list", "data": [listed[name] for name in sorted(listed)]})


def list_messages_models(planner: Planner, key: ApiKey) -> bytes:
    """The same list as Anthropic's clients know it, in one page."""
    listed = msgspec.json.decode(list_models(planner, key))["data"]
    told = [
        {
            "type": "model",
            "id": model["id"],
            "display_name": model["id"],
            "created_at": datetime.fromtimestamp(model["created"], UTC).isoformat().replace("+00:00", "Z"),
        }
        for model in listed
    ]
    ends = {"first_id": told[0]["id"], "last_id": told[-1]["id"]} if told else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"data": told, "has_more": False, **ends})


def one_model(planner: Planner, key: ApiKey, name: str) -> bytes | None:
    """One model, by any name that a call may use; None when the key cannot call it."""
    plan = planner.plan(name) if may_use(key, name) else None
    plan = plan and within(plan, planner.catalog.tiers, key.tier)
    if plan is None or not plan.deployments:
        return None
    first = plan.deployments[0]
    owner = "tollgate" if plan.alias else first.provider.type
    return msgspec.json.encode(_model(name, first.model.created, owner))


def may_use(key: ApiKey, name: str) -> bool:
    """Whether a key's own list allows a name."""
    return key.allowed_models is None or name in key.allowed_models


def _models(planner: Planner, key: ApiKey) -> list[dict[str, Any]]:
    callable_types = {
        model.provider_type
        for model in planner.catalog.models()
        if planner.credential_of(PROVIDERS[model.provider_type]) and planner.catalog.instances(model.provider_type)
    }
    return [
        _model(_name(planner, model), model.created, model.provider_type)
        for model in planner.catalog.models()
        if model.provider_type in callable_types
        and planner.catalog.tiers.allows(key.tier, model.provider_type, model.name)
    ]


def _aliases(planner: Planner, key: ApiKey) -> list[dict[str, Any]]:
    tiers = planner.catalog.tiers
    made = {alias.alias: planner.plan(alias.alias) for alias in planner.catalog.aliases()}
    plans = {name: plan and within(plan, tiers, key.tier) for name, plan in made.items()}
    return [_model(name, 0, "tollgate") for name, plan in plans.items() if plan is not None and plan.deployments]


def _name(planner: Planner, model: Model) -> str:
    others = planner.catalog.models_named(model.name)
    is_own = model.provider_type in makers_of(model.name) or len(others) == 1
    return model.name if is_own else f"{model.provider_type}/{model.name}"


def _model(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
