"""Whether what must reach each other may: each address in an environment against Services and network policies.

A policy that forgets an edge shows only in a cluster, as a time-out; here it is a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import variables
from kustomization import Stack
from pods import Workload, environment

STANDARD_PORTS = {"postgresql": 5432, "nats": 4222, "redis": 6379, "http": 80, "https": 443}


def addresses(environment: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """Variable, host and port of each address."""
    for name, value in sorted(environment.items()):
        parts = urlsplit(value) if "://" in value and "\n" not in value else None
        if parts and parts.hostname:
            yield name, parts.hostname, parts.port or STANDARD_PORTS[parts.scheme]


def faults(workload: Workload, others: Sequence[Workload], stack: Stack) -> Iterator[str]:
    """Addresses that lead nowhere, and edges that the policies cut."""
    given = environment(workload, stack) | variables.secrets_of(workload.service)
    services = {each["metadata"]["name"]: each["spec"] for each in stack.of_kind("Service")}
    for name, host, port in addresses(given):
        own = next((each for each in services.get(host, {}).get("ports", []) if each["port"] == port), None)
        target = next((each for each in others if each.service == host), None)
        if own is None or target is None:
            yield f"{workload.name}: {name} leads to {host}:{port}, where no Service is"
            continue
        at = target.ports.get(own["targetPort"], 0)
        policies = stack.of_kind("NetworkPolicy")
        if not _allows(policies, "egress", workload.labels, target.labels, at):
            yield f"{workload.name}: no policy lets it out to {host}:{at} ({name})"
        if not _allows(policies, "ingress", target.labels, workload.labels, at):
            yield f"{workload.name}: no policy lets it in at {host}:{at} ({name})"


def _allows(
    policies: Sequence[dict[str, Any]], way: str, own: Mapping[str, str], peer: Mapping[str, str], port: int
) -> bool:
    """Whether pods `own` may talk (`egress`) to pods `peer`, or be talked to (`ingress`) by them, at a port."""
    side = "to" if way == "egress" else "from"
    of_own = [
        each["spec"]
        for each in policies
        if way.title() in each["spec"]["policyTypes"] and _selects(each["spec"]["podSelector"], own)
    ]
    rules = [rule for spec in of_own for rule in spec.get(way, [])]
    return not of_own or any(_ports_fit(rule, port) and _peers_fit(rule.get(side), peer) for rule in rules)


def _ports_fit(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or any(each["port"] == port for each in rule["ports"])


def _peers_fit(peers: list[dict[str, Any]] | None, labels: Mapping[str, str]) -> bool:
    # A peer that names namespaces or addresses is somebody outside ours.
    return peers is None or any("podSelector" in each and _selects(each["podSelector"], labels) for each in peers)


def _selects(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"] for each in expressions
    )
