"""Aliases: names of ours that lead to one or more deployments, and what may not be one.

A name is looked up as an alias first. So an alias may hide neither a model's real name nor `provider/…`: whoever asks for
`gpt-4` gets gpt-4. An alias leads only where somebody serves the model, else the nearest names are told.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from common.errors import Conflict, Unprocessable

_NEAREST = 3

Strategy = Literal["priority", "weighted", "lowest_latency", "lowest_cost", "sticky"]
"""How an alias chooses: lowest priority number first; among equals the greater weight (`priority`), at random by weight
(`weighted`), who answers soonest, who costs least, or the same for calls of one conversation (`sticky`)."""


class NameTaken(Conflict):
    """The name already means something else."""

    code = "name_taken"


class NotServed(Unprocessable):
    """A deployment leads nowhere."""

    code = "not_served"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A provider (type or instance name) and a model there."""

    provider: str
    model: str
    weight: int = 1
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Alias:
    """One name of ours."""

    id: str
    alias: str
    deployments: tuple[Deployment, ...]
    created_at: datetime
    updated_at: datetime
    strategy: str = "priority"
    enabled: bool = True
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds that its calls wait, by phase (`connect_s` …); what is not there waits as long as any call."""


@dataclass(frozen=True, slots=True)
class Served:
    """What can be called now: provider types by instance name (types included), and model names by type."""

    types: Mapping[str, str]
    names: Mapping[str, Collection[str]]


def check_alias_name(alias: str, providers: Collection[str], served_by: Sequence[str]) -> None:
    """NameTaken when the alias would hide a provider's prefix or a model (which `served_by` names as provider types)."""
    if served_by:
        raise NameTaken(f"{alias} is the name of a model of {', '.join(sorted(served_by))}; choose another alias")
    prefix, slash, _ = alias.partition("/")
    if slash and prefix in providers:
        raise NameTaken(f"{alias} would hide models of provider {prefix}; choose another alias")


def check_deployments(deployments: Iterable[Deployment], served: Served) -> None:
    """NotServed, with the nearest names, when a deployment leads nowhere or stands there twice."""
    places = set()
    for one in deployments:
        provider_type = served.types.get(one.provider)
        if provider_type is None:
            raise NotServed(f"unknown provider: {one.provider}{_nearest(one.provider, served.types)}")
        if one.model not in served.names.get(provider_type, ()):
            raise NotServed(
                f"{one.provider} serves no model {one.model}{_suggestions(one.model, provider_type, served)}"
            )
        if (one.provider, one.model) in places:
            raise NotServed(f"{one.provider}/{one.model} stands in deployments twice")
        places.add((one.provider, one.model))


def _suggestions(model: str, provider_type: str, served: Served) -> str:
    """Who else serves this very model, else what is spelled most like it: here first, then anywhere."""
    elsewhere = [f"{other}/{model}" for other, names in sorted(served.names.items()) if model in names]
    if elsewhere:
        return f"; served as {', '.join(elsewhere)}"
    here = _nearest(model, served.names.get(provider_type, ()))
    return here or _nearest(model, {name for names in served.names.values() for name in names})


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), _NEAREST)
    return f"; nearest: {', '.join(close)}" if close else ""
