"""Which settings each service is started with: chosen one by one, so that nothing leaks by inheritance.

A service gets what every program needs (paths, language, certificates), telemetry, its own `<SERVICE>_…` settings, the
addresses of servers and services, and of the secrets only its own. Whose secret is what stands in `_secrets_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from common.contracts.privileges import privileges_of
from common.contracts.topology import SERVICES, Service
from common.providers.registry import PROVIDERS

from tollgate.home import Home
from tollgate.kept import Secrets
from tollgate.settings import RunnerSettings

SIMULATOR = Service("simulator", "simulator", 8090, has_schema=False)
# In the order in which they are started; all start at once, the front door is last only in the lists people see.
STARTED = (*(service for service in SERVICES if service.name != "gateway"), SIMULATOR, SERVICES[0])

_EVERY_PROGRAM = ("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy")
_SHARED = ("OTEL_*", "LOG_LEVEL", "DB_MAX_OPEN_CONNS", "CORS_ORIGINS")
_MASTER_KEYS = ("BYOK_ENCRYPTION_KEYS_FILE", "BYOK_ENCRYPTION_KEYS", "BYOK_ENCRYPTION_KEY", "ENCRYPTION_KEY")
_OF_SERVICE = {
    "gateway": ("PROVIDER_*", "CACHE_API_KEY_*", "CACHE_MODEL_*"),
    "keyvault": (
        "SIGNUP",
        "OIDC_*",
        *_MASTER_KEYS,
        "JWT_PRIVATE_KEY",
    ),
}


@dataclass(frozen=True)
class Addresses:
    """Where everything of this stack is. `database_url` is the owner's and no service's.

    `own`: the variables of servers that were made with a user for each service. At any other server a service logs in as
    its URL says: what it may do there is for whoever runs it to limit.
    """

    database_url: str
    nats_url: str
    redis_url: str
    cache_redis_url: str
    ports: Mapping[str, int]  # by service name
    gateway_host: str = "127.0.0.1"
    own: frozenset[str] = frozenset()

    def url_of(self, service: Service) -> str:
        host = self.gateway_host if service.name == "gateway" else "127.0.0.1"
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{self.ports[service.name]}"  # noqa: S104


@dataclass(frozen=True)
class Environments:
    """Makes the environment of each service."""

    caller: Mapping[str, str]
    settings: RunnerSettings
    secrets: Secrets
    addresses: Addresses
    home: Home

    def of(self, service: Service) -> dict[str, str]:
        """All that `service` is started with."""
        passed = (*_EVERY_PROGRAM, *_CERTIFICATES, *_PROXIES, *_SHARED, f"{service.prefix}_*")
        chosen = _matching(self.caller, (*passed, *_OF_SERVICE.get(service.package, ())))
        chosen |= {"PYTHONUNBUFFERED": "1", f"{service.prefix}_HTTP_PORT": str(self.addresses.ports[service.name])}
        if service == SIMULATOR:
            return chosen | {"SIMULATOR_JOURNAL": str(self.home.simulator_journal.absolute())}
        return chosen | self._servers_of(service) | self._services() | self._secrets_of(service, chosen)

    def database_url_of(self, service: Service) -> str:
        """The URL by which a service reaches its own schema: given, or the owner's with the role's login."""
        return self.caller.get(f"{service.prefix}_DATABASE_URL") or role_url(
            self.addresses.database_url, service.package, self.secrets.role_passwords[service.package]
        )

    def role_passwords(self) -> dict[str, str]:
        """The password of each service's role by schema, as the URL has it that the service is given."""
        return {each.package: password_of(self.database_url_of(each)) for each in SERVICES if each.has_schema}

    def _servers_of(self, service: Service) -> dict[str, str]:
        where, secrets = self.addresses, self.secrets
        of_redis: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
            "redis": ("REDIS_URL", where.redis_url, secrets.redis_passwords),
            "cache-redis": ("CACHE_REDIS_URL", where.cache_redis_url, secrets.cache_redis_passwords),
        }
        known = [of_redis[access.server] for access in privileges_of(service.name).redis]
        servers = {
            variable: role_url(url, service.name, passwords[service.name]) if variable in where.own else url
            for variable, url, passwords in (("NATS_URL", where.nats_url, secrets.nats_passwords), *known)
        }
        if service.has_schema:
            servers[f"{service.prefix}_DATABASE_URL"] = self.database_url_of(service)
        return servers

    def _services(self) -> dict[str, str]:
        return {
            f"{service.prefix}_URL": self.addresses.url_of(service) for service in STARTED if service != SERVICES[0]
        }

    def _secrets_of(self, service: Service, given: Mapping[str, str]) -> dict[str, str]:
        tokens = {
            f"{package.upper()}_SERVICE_TOKEN": self.caller.get(f"{package.upper()}_SERVICE_TOKEN") or token
            for package, token in self.secrets.service_tokens.items()
        }
        own_token = {name: token for name, token in tokens.items() if name == f"{service.prefix}_SERVICE_TOKEN"}
        if service.name == "gateway":
            return own_token | {
                "GATEWAY_JOURNAL_DIR": given.get("GATEWAY_JOURNAL_DIR") or str(self.home.journal.absolute())
            }
        return tokens | self._keyvault(given) if service.name == "keyvault" else own_token

    def _keyvault(self, given: Mapping[str, str]) -> dict[str, str]:
        keys_given = any(name in given for name in _MASTER_KEYS)
        return {
            **({} if keys_given else {"BYOK_ENCRYPTION_KEYS": self.secrets.byok_encryption_key}),
            "JWT_PRIVATE_KEY": given.get("JWT_PRIVATE_KEY") or self.secrets.jwt_private_key,
            "SIGNUP": given.get("SIGNUP", "open"),
            "TOLLGATE_ADMIN_EMAIL": self.settings.admin_email,
            "TOLLGATE_ADMIN_PASSWORD": self.settings.admin_password or self.secrets.admin_password,
            **_matching(self.caller, tuple(row.env for row in PROVIDERS.values() if row.env)),
        }


def role_url(owner_url: str, role: str, password: str) -> str:
    """The owner's URL with another login."""
    parts = urlsplit(owner_url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{address}"))


def password_of(url: str) -> str:
    """The password in a URL; empty when it has none."""
    return unquote(urlsplit(url).password or "")


def _matching(variables: Mapping[str, str], patterns: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}
