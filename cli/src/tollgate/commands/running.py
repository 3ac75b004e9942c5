"""`run`, `up`, `down`, `status`: the stack on this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from common.errors import TollgateError

from tollgate.commands.context import AsJson, home, print_json, settings
from tollgate.detached import start_detached, stop_detached
from tollgate.health import health_of
from tollgate.reports import BackgroundReport, TerminalReport
from tollgate.runner import Runner
from tollgate.settings import caller_environment

_ReportTo = Annotated[int | None, typer.Option("--report-to", hidden=True, help="A pipe's descriptor; used by `up`.")]


def run(as_json: AsJson = False, report_to: _ReportTo = None) -> None:
    """Start everything on this machine and stay; Ctrl-C stops it all."""
    if report_to is None:
        Runner(settings(), caller_environment(), TerminalReport(as_json=as_json)).run()
        return
    report = BackgroundReport(report_to)
    try:
        Runner(settings(), caller_environment(), report).run()
    except TollgateError as error:
        report.failed(str(error))
        raise SystemExit(1) from None
    finally:
        report.close()


def up(as_json: AsJson = False) -> None:
    """The same in the background; returns when all is ready."""
    settings()  # a wrong one is better told here than by the background
    report = TerminalReport(as_json=as_json)
    report.ready(start_detached(home(), report.say))


def down(as_json: AsJson = False) -> None:
    """Stop what runs on this folder; returns when all is gone."""
    where = home()
    was_running = stop_detached(where)
    if as_json:
        print_json({"stopped": was_running, "logs": str(where.logs)})
    else:
        print(f"{'stopped' if was_running else 'nothing was running'} (logs: {where.logs})")


def status(as_json: AsJson = False) -> None:
    """What runs, with pids and readiness; exit code 1 when not all of it is well."""
    health = health_of(home())
    if as_json:
        print_json(asdict(health))
    else:
        print("\n".join(health.lines()))
    sys.exit(0 if health.is_ready else 1)


COMMANDS = (run, up, down, status)
