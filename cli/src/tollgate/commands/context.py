"""What every command begins with: the settings, the runner's folder, the running stack, and how it prints."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from common.settings import read

from tollgate.gateway_client import GatewayClient
from tollgate.home import Home
from tollgate.runfile import RunFile, read_run_file
from tollgate.settings import RunnerSettings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings() -> RunnerSettings:
    """The settings, or SettingsError naming the wrong one."""
    return read(RunnerSettings)


def home() -> Home:
    """The folder that TOLLGATE_HOME names, `.tollgate` here when it is not set."""
    return Home(settings().home.absolute())


def run_file() -> RunFile:
    """The stack that runs on that folder; RunnerError when none does."""
    return read_run_file(home().run_file)


def admin_client() -> GatewayClient:
    """A client of the running Tollgate, logged in as admin: by TOLLGATE_URL and its login, else by run.json."""
    given = settings()
    running = None if given.url and given.admin_password else run_file()
    client = GatewayClient(given.url or (running.url if running else ""))
    client.login(
        running.admin_email if running else given.admin_email,
        running.admin_password if running else given.admin_password or "",
    )
    return client


def print_json(content: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=2), flush=True)
