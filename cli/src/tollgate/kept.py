"""What the runner remembers from run to run: the secrets it made up (`secrets.json`, mode 600) and the ports it chose.

Secrets are drawn once and kept, since the data are locked with them. A later release that needs one more adds it.
Ports are kept where they are still free, so that a second run is found where the first was.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from common.contracts.privileges import PRIVILEGES, redis_users
from common.contracts.topology import SERVICES
from common.servers.ports import free_port, is_free
from common.servers.private_file import write_private
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tollgate.errors import RunnerError


def _password() -> str:
    return secrets.token_urlsafe(24)


def _role_passwords() -> dict[str, str]:
    return {service.package: _password() for service in SERVICES if service.has_schema}


def _nats_passwords() -> dict[str, str]:
    return {row.service: _password() for row in PRIVILEGES}


def _redis_passwords() -> dict[str, str]:
    return {service: _password() for service, _ in redis_users("redis")}


def _cache_redis_passwords() -> dict[str, str]:
    return {service: _password() for service, _ in redis_users("cache-redis")}


def _service_tokens() -> dict[str, str]:
    return {name: _password() for name in ("gateway", "catalog_sync")}


def _signing_key() -> str:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


@dataclass(frozen=True)
class Secrets:
    """Everything that is made up once. Roles and tokens go by the service's package name, users of servers by its name;
    the single passwords of servers are their operators'."""

    postgres_password: str = field(default_factory=_password, repr=False)
    role_passwords: dict[str, str] = field(default_factory=_role_passwords, repr=False)
    nats_password: str = field(default_factory=_password, repr=False)
    redis_password: str = field(default_factory=_password, repr=False)
    cache_redis_password: str = field(default_factory=_password, repr=False)
    nats_passwords: dict[str, str] = field(default_factory=_nats_passwords, repr=False)
    redis_passwords: dict[str, str] = field(default_factory=_redis_passwords, repr=False)
    cache_redis_passwords: dict[str, str] = field(default_factory=_cache_redis_passwords, repr=False)
    byok_encryption_key: str = field(default_factory=_fernet_key, repr=False)
    jwt_private_key: str = field(default_factory=_signing_key, repr=False)
    service_tokens: dict[str, str] = field(default_factory=_service_tokens, repr=False)
    admin_password: str = field(default_factory=_password, repr=False)
    demo_password: str = field(default_factory=_password, repr=False)


def load_secrets(path: Path, locked_data: Iterable[Path] = ()) -> Secrets:
    """The kept secrets, made and written where missing.

    RunnerError when the file is damaged, or gone while any of `locked_data` exists, which only it opens.
    """
    if not path.exists() and (locked := next((found for found in locked_data if found.exists()), None)):
        raise RunnerError(f"{locked} exists but {path} with its passwords does not: put it back, or move the data away")
    kept = _read(path)
    made = Secrets()
    # A later release's fields are made, an earlier one's stay; a dictionary is completed in the same way.
    merged = replace(
        made,
        **{each.name: _merge(kept[each.name], getattr(made, each.name)) for each in fields(made) if each.name in kept},
    )
    if asdict(merged) != kept:
        write_private(path, json.dumps(asdict(merged), indent=2) + "\n")
    return merged


def load_ports(path: Path, names: Iterable[str], asked: dict[str, int] | None = None) -> dict[str, int]:
    """A loopback port for each name: the one asked for, else the last one while it is free, else another free one."""
    kept, chosen = _read_ports(path), dict(asked or {})
    for name in names:
        if name in chosen:
            continue
        last = kept.get(name)
        usable = last is not None and last not in chosen.values() and is_free(last)
        chosen[name] = last if usable and last is not None else free_port({*chosen.values(), *kept.values()})
    path.write_text(json.dumps(kept | chosen, indent=2) + "\n")
    return chosen


def _merge(kept: Any, made: Any) -> Any:
    if isinstance(kept, dict) and isinstance(made, dict):
        return made | kept
    return kept if isinstance(kept, type(made)) and kept else made


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RunnerError(f"{path} is damaged: put it back, or move {path.parent} away to start anew")
    return content


def _read_ports(path: Path) -> dict[str, int]:
    # Losing these costs nothing, so damage is not an error.
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return (
        {str(name): port for name, port in content.items() if isinstance(port, int)}
        if isinstance(content, dict)
        else {}
    )
