"""`secrets files|kubernetes`: makes up what containers are started with that nobody may read, and puts it where they look.

What is made up is `kept`'s table and who gets which of it `environment`'s rule, so a stack in containers knows the same
secrets as one machine does; here is only where its servers are called by name, and where the values go. Each service,
server and job gets a place of its own, so that whoever gets into one reads no other's: a folder with a file `env`, or a
Secret. What stands there is never changed, what is missing is added. Beside them lies the table itself, which all the
others are derived from: a second run, or one that was cut short, ends with the same values.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from common.contracts.logins import nats_variable, redis_variable
from common.contracts.privileges import OPERATOR
from common.contracts.topology import SERVICES
from common.servers.private_file import write_private

from tollgate.environment import STARTED, Addresses, Environments
from tollgate.errors import RunnerError
from tollgate.home import Home
from tollgate.kept import Secrets, load_secrets
from tollgate.settings import RunnerSettings
from tollgate.stack import DATABASE

KEPT = "kept"
"""Where the table lies: a folder beside the others, a Secret among them."""
_TABLE = "secrets.json"
_ENV = "env"
_VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CREATED, _OK, _NOT_FOUND, _CONFLICT = 201, 200, 404, 409
_TIMEOUT_SECONDS = 10.0
_LONGEST_ANSWER_BYTES = 4 * 1024 * 1024


def create() -> typer.Typer:
    """The `secrets` commands."""
    made = typer.Typer(no_args_is_help=True, help="Make up the secrets of a stack in containers.")
    made.command("files")(_files)
    made.command("kubernetes")(_kubernetes)
    return made


def _files(folder: Annotated[Path, typer.Argument(help="Gets a folder each, with a file `env`.")]) -> None:
    """Write what is missing as files for shells; what is there stays."""
    _tell(write_files(folder))


def _kubernetes(
    api: Annotated[str, typer.Option(help="The cluster's API.")] = "https://kubernetes.default.svc",
    account: Annotated[
        Path, typer.Option(help="Folder with the service account's token, namespace, ca.crt.")
    ] = _ACCOUNT,
) -> None:
    """Create what is missing as Secrets of our own namespace; what is there stays. Runs in a pod."""
    _tell(write_kubernetes(Cluster.of_account(api, account)))


def variables_of(secrets: Secrets) -> dict[str, dict[str, str]]:
    """What each gets: name of a service, server or job → variable → value. Only secrets, no other setting."""
    addresses = _addresses(secrets)
    environments = Environments({}, RunnerSettings.model_construct(), secrets, addresses, Home(Path(".tollgate")))
    role_urls = {
        f"{each.prefix}_DATABASE_URL": environments.database_url_of(each) for each in SERVICES if each.has_schema
    }
    found = {
        "postgres": {"POSTGRES_PASSWORD": secrets.postgres_password},
        "nats": {"NATS_PASSWORD": secrets.nats_password, **_named(secrets.nats_passwords, nats_variable)},
        "redis": {"REDIS_PASSWORD": secrets.redis_password, **_named(secrets.redis_passwords, redis_variable)},
        "cache-redis": {
            "REDIS_PASSWORD": secrets.cache_redis_password,
            **_named(secrets.cache_redis_passwords, redis_variable),
        },
        "migrate": {"DATABASE_URL": addresses.database_url, **role_urls},
        "provision": {"NATS_URL": addresses.nats_url},
        "seed": {"TOLLGATE_ADMIN_PASSWORD": secrets.admin_password, "TOLLGATE_DEMO_PASSWORD": secrets.demo_password},
    }
    values = _texts(asdict(secrets))
    for service in STARTED:
        own = {
            variable: value
            for variable, value in environments.of(service).items()
            if any(secret in value for secret in values)
        }
        found |= {service.name: own} if own else {}
    return found


def write_files(folder: Path) -> list[str]:
    """Complete `folder`; returns `name/variable` of what was added. RunnerError when the table is gone or damaged."""
    _make_folder(folder / KEPT)
    names = variables_of(Secrets())
    written = [folder / name / _ENV for name in names]
    added = []
    for name, variables in variables_of(load_secrets(folder / KEPT / _TABLE, written)).items():
        _make_folder(folder / name)
        added += [f"{name}/{variable}" for variable in _complete_file(folder / name / _ENV, variables)]
    return added


def write_kubernetes(cluster: Cluster) -> list[str]:
    """Complete the namespace's Secrets; returns `name/variable` of what was added."""
    added = []
    for name, variables in variables_of(_kept_in(cluster)).items():
        added += [f"{name}/{variable}" for variable in cluster.complete(name, variables)]
    return added


@dataclass(frozen=True)
class Cluster:
    """The Secrets of one namespace, over the Kubernetes API, as a service account that may get, create and patch them."""

    api: str
    namespace: str
    token: str
    tls: ssl.SSLContext | None = None

    @classmethod
    def of_account(cls, api: str, account: Path) -> Cluster:
        """As the service account whose files are in `account`; RunnerError outside a pod that has one."""
        try:
            token, namespace = (account / "token").read_text().strip(), (account / "namespace").read_text().strip()
            tls = ssl.create_default_context(cafile=str(account / "ca.crt")) if api.startswith("https:") else None
        except OSError as error:
            raise RunnerError(f"no service account here: {error.filename or account}: {error.strerror}") from error
        return cls(api, namespace, token, tls)

    def read(self, name: str) -> dict[str, str] | None:
        """The values of a Secret; None when there is none."""
        status, body = self._send("GET", f"/{name}", None, expected=(_OK, _NOT_FOUND))
        if status == _NOT_FOUND:
            return None
        return {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}

    def create(self, name: str, values: Mapping[str, str]) -> bool:
        """Make a Secret; False when there is one of that name, which stays as it is."""
        labels = {"app.kubernetes.io/part-of": "tollgate", "app.kubernetes.io/managed-by": "tollgate-secrets"}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": labels},
            "stringData": dict(values),
        }
        return self._send("POST", "", secret, expected=(_CREATED, _CONFLICT))[0] == _CREATED

    def put(self, name: str, values: Mapping[str, str]) -> None:
        """Set some values of a Secret that there is; the others stay."""
        self._send("PATCH", f"/{name}", {"stringData": dict(values)}, expected=(_OK,))

    def complete(self, name: str, values: Mapping[str, str]) -> list[str]:
        """Have a Secret with at least these names; returns those that were missing."""
        if self.create(name, values):
            return list(values)
        there = self.read(name) or {}
        missing = {key: value for key, value in values.items() if key not in there}
        if missing:
            self.put(name, missing)
        return list(missing)

    def _send(self, method: str, path: str, body: Any, *, expected: tuple[int, ...]) -> tuple[int, dict[str, Any]]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json", "Content-Type": kind}
        where = f"/api/v1/namespaces/{self.namespace}/secrets{path}"
        connection = self._connect()
        try:
            connection.request(method, where, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read(_LONGEST_ANSWER_BYTES) or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RunnerError(f"{method} {where} at {self.api} failed: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status not in expected:
            raise RunnerError(f"{method} {where} answered {answer.status}: {content.get('message', 'no reason given')}")
        return answer.status, content

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.api)
        if self.tls is None:
            return http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
        return http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT_SECONDS, context=self.tls)


def _addresses(secrets: Secrets) -> Addresses:
    # No password needs quoting: they are drawn from the alphabet of URLs.
    return Addresses(
        database_url=f"postgresql://postgres:{secrets.postgres_password}@postgres:5432/{DATABASE}",
        nats_url=f"nats://{OPERATOR}:{secrets.nats_password}@nats:4222",
        redis_url=f"redis://:{secrets.redis_password}@redis:6379/0",
        cache_redis_url=f"redis://:{secrets.cache_redis_password}@cache-redis:6379/0",
        ports={service.name: service.port for service in STARTED},
        own=frozenset({"NATS_URL", "REDIS_URL", "CACHE_REDIS_URL"}),
    )


def _named(passwords: Mapping[str, str], variable: Callable[[str], str]) -> dict[str, str]:
    return {variable(service): password for service, password in passwords.items()}


def _texts(table: Mapping[str, Any]) -> list[str]:
    return [text for entry in table.values() for text in (entry.values() if isinstance(entry, dict) else [entry])]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RunnerError(f"{folder} cannot be made: {error.strerror}") from error


def _complete_file(path: Path, variables: Mapping[str, str]) -> list[str]:
    try:
        text = path.read_text() if path.exists() else ""
        missing = [variable for variable in variables if variable not in _VARIABLE.findall(text)]
        if missing:
            lines = [f"{variable}={shlex.quote(variables[variable])}\n" for variable in missing]
            write_private(path, text + "".join(lines))
    except OSError as error:
        raise RunnerError(f"{path} cannot be completed: {error.strerror}") from error
    return missing


def _kept_in(cluster: Cluster) -> Secrets:
    """The cluster's table, made where there is none, completed where a later release needs more."""
    found = cluster.read(KEPT)
    if found is None and (other := next((name for name in variables_of(Secrets()) if cluster.read(name)), None)):
        found = cluster.read(KEPT)  # another may have begun in this moment; it makes the table first
        if found is None:
            raise RunnerError(f"Secret {other} exists but {KEPT}, which it came from, does not: put it back")
    stored = (found or {}).get(_TABLE, "")
    secrets, table = _completed(stored)
    if found is None and not cluster.create(KEPT, {_TABLE: table}):
        return _kept_in(cluster)  # another made it in this moment
    if found is not None and table != stored:
        cluster.put(KEPT, {_TABLE: table})
    return secrets


def _completed(stored: str) -> tuple[Secrets, str]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / _TABLE
        if stored:
            write_private(path, stored)
        return load_secrets(path), path.read_text()


def _tell(added: list[str]) -> None:
    # The names of what was added, never a value.
    print("\n".join(added) or "nothing to add")
