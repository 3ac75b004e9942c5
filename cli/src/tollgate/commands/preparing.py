"""`migrate`, `provision`, `seed`: what a stack needs before its first call; the runner does the same by itself.

In containers and clusters these run as jobs of their own, with URLs from the environment; beside a running stack they
take them from its run.json.
"""

from __future__ import annotations

import asyncio

from common.contracts.topology import SERVICES

from tollgate.commands.context import AsJson, home, print_json, run_file, settings
from tollgate.environment import password_of
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient
from tollgate.kept import load_secrets
from tollgate.migrate import migrate_all, provision_all
from tollgate.reach import require_reachable
from tollgate.seed import seed as seed_stack
from tollgate.settings import caller_environment


def migrate(as_json: AsJson = False) -> None:
    """Bring every service's schema up to date (DATABASE_URL, and <SERVICE>_DATABASE_URL for the roles' passwords)."""
    owner_url = settings().given_database_url or run_file().database_url
    require_reachable({"DATABASE_URL": owner_url}, settings().given_by)
    _tell(asyncio.run(migrate_all(owner_url, _role_passwords())), "nothing to migrate", as_json=as_json)


def provision(as_json: AsJson = False) -> None:
    """Create or update streams, buckets and consumers (NATS_URL)."""
    nats_url = settings().nats_url or run_file().nats_url
    require_reachable({"NATS_URL": nats_url})
    _tell(asyncio.run(provision_all(nats_url)), "nothing to create", as_json=as_json)


def seed(as_json: AsJson = False) -> None:
    """Make the test key, the demo user and the alias (TOLLGATE_URL, TOLLGATE_ADMIN_PASSWORD, TOLLGATE_DEMO_PASSWORD)."""
    given = settings()
    if given.url:
        if not given.admin_password or not given.demo_password:
            raise RunnerError("with TOLLGATE_URL, TOLLGATE_ADMIN_PASSWORD and TOLLGATE_DEMO_PASSWORD must be set")
        url, admin, demo = given.url, given.admin_password, given.demo_password
        emails = given.admin_email, given.demo_email
    else:
        running = run_file()
        url, admin, demo = running.url, running.admin_password, running.demo_password
        emails = running.admin_email, running.demo_email
    with GatewayClient(url) as client:
        _tell(seed_stack(client, (emails[0], admin), (emails[1], demo)), "nothing to seed", as_json=as_json)


def _role_passwords() -> dict[str, str]:
    """From the services' own URLs; for those not given, what the runner on this folder made up."""
    given, kept = caller_environment(), home().secrets_file
    made_up = load_secrets(kept).role_passwords if kept.exists() else {}
    passwords = {}
    for service in (service for service in SERVICES if service.has_schema):
        variable = f"{service.prefix}_DATABASE_URL"
        password = password_of(given.get(variable, "")) or made_up.get(service.package)
        if not password:
            raise RunnerError(f"{variable} is not set, or has no password: it names the password of the service's role")
        passwords[service.package] = password
    return passwords


def _tell(done: list[str], nothing: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        print("\n".join(done) or nothing)


COMMANDS = (migrate, provision, seed)
