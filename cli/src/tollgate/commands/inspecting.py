"""`doctor`, `smoke`: is what runs here as it should be, and does it do its work?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tollgate.commands.context import AsJson, home, print_json, run_file
from tollgate.doctor import examine
from tollgate.finding import Finding
from tollgate.gateway_client import GatewayClient
from tollgate.smoke import smoke as try_out


def doctor(as_json: AsJson = False) -> None:
    """Look over programs, servers, services and files; exit code 1 when something is wrong."""
    _conclude(examine(home()), as_json=as_json)


def smoke(model: Annotated[str, typer.Option(help="The model to call.")] = "gpt-4", as_json: AsJson = False) -> None:
    """Make a call, whole and streamed, and see that both are billed; exit code 1 when something fails."""
    running = run_file()
    with GatewayClient(running.url) as client:
        findings = try_out(client, (running.admin_email, running.admin_password), running.api_key, model)
    _conclude(findings, as_json=as_json)


def _conclude(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{'ok  ' if finding.is_well else 'FAIL'}  {finding.name:<{width}}  {finding.detail}")
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


COMMANDS = (doctor, smoke)
