"""The users of a server as its configuration has them, made of the one table (`common.contracts.privileges`).

A password is a text of ours (the servers of one machine, whose configuration is private), or stands as the name of a
variable that the server's own start fills in (containers, whose configuration is public).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from common.contracts.privileges import (
    OPERATOR,
    PRIVILEGES,
    NatsPermissions,
    RedisServer,
    nats_permissions,
    redis_rules,
    redis_users,
)
from common.contracts.topology import SERVICES

_PREFIXES = {service.name: service.prefix for service in SERVICES}
_GENERATED = "# Written by `make contracts` from libs/common/src/common/contracts/privileges.py.\n"


def nats_variable(service: str) -> str:
    """Where a NATS server in a container finds a user's password: `BILLING_NATS_PASSWORD`."""
    return f"{_PREFIXES[service]}_NATS_PASSWORD"


def redis_variable(service: str) -> str:
    """Where a Redis in a container finds a user's password: `BILLING_REDIS_PASSWORD`."""
    return f"{_PREFIXES[service]}_REDIS_PASSWORD"


def nats_authorization(operator: str, password: str, passwords: Mapping[str, str]) -> str:
    """The block `authorization` with an operator, who may do everything, and a user for each service that has a
    password here."""
    known = {name: json.dumps(text) for name, text in passwords.items()}
    return _authorization(json.dumps(operator), json.dumps(password), known)


def nats_users_file() -> str:
    """The same for containers, with variables in place of passwords."""
    variables = {row.service: f"${nats_variable(row.service)}" for row in PRIVILEGES}
    return _GENERATED + _authorization(json.dumps(OPERATOR), "$NATS_PASSWORD", variables)


def redis_user_lines(server: RedisServer, passwords: Mapping[str, str]) -> Iterator[str]:
    """A line `user …` for each service that has a password here; the file keeps its SHA-256 alone."""
    for service, access in redis_users(server):
        if service in passwords:
            digest = hashlib.sha256(passwords[service].encode()).hexdigest()
            yield f"user {service} reset on #{digest} {' '.join(redis_rules(access))}"


def redis_users_file(server: RedisServer) -> str:
    """For containers: user, variable of its password, rules; a line each, which the start of the server reads."""
    lines = (
        f"{service} {redis_variable(service)} {' '.join(redis_rules(access))}\n"
        for service, access in redis_users(server)
    )
    return "".join(lines)


def _authorization(operator: str, password: str, passwords: Mapping[str, str]) -> str:
    users = [f"    {{ user: {operator}, password: {password} }}\n"]
    users += [
        f"    {{ user: {row.service}, password: {passwords[row.service]}, permissions: {{\n"
        f"{_permissions(nats_permissions(row))}    }} }}\n"
        for row in PRIVILEGES
        if row.service in passwords
    ]
    return f"authorization {{\n  users: [\n{''.join(users)}  ]\n}}\n"


def _permissions(found: NatsPermissions) -> str:
    denied = f", deny: {_list(found.deny_publish)}" if found.deny_publish else ""
    return (
        f"      publish: {{ allow: {_list(found.publish)}{denied} }}\n"
        f"      subscribe: {{ allow: {_list(found.subscribe)} }}\n"
    )


def _list(subjects: Sequence[str]) -> str:
    lines = "".join(f"        {json.dumps(subject)}\n" for subject in subjects)
    return f"[\n{lines}      ]"
