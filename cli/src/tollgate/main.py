"""The `tollgate` command: puts the commands together, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done, 1 refused or failed for a reason that the line on standard error gives, 2 wrong usage or setting,
130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
import typer
from common.errors import TollgateError
from common.settings import SettingsError
from typer.core import TyperGroup

from tollgate.commands import (
    auditing,
    billing,
    budgets,
    dlq,
    inspecting,
    keys,
    models,
    preparing,
    running,
    secrets,
    usage,
)


class OneLineErrors(TyperGroup):
    """The edge: expected errors of any command become one line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        # What a library warns of on the way (a connection closed and opened again) is not for whoever types a command.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        try:
            return super().invoke(ctx)
        except TollgateError as error:
            sys.stderr.write(f"tollgate: {error}\n")
            raise SystemExit(1) from None
        except SettingsError as error:
            sys.stderr.write(f"tollgate: {error}\n")
            raise SystemExit(2) from None


def create_app() -> typer.Typer:
    """The whole command line."""
    made = typer.Typer(
        cls=OneLineErrors,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks print local variables, which may be secrets
        help="Run, prepare and look after Tollgate.",
    )
    for command in (*running.COMMANDS, *preparing.COMMANDS, *inspecting.COMMANDS, *auditing.COMMANDS):
        made.command()(command)
    made.add_typer(billing.create(), name="billing")
    made.add_typer(budgets.create(), name="budgets")
    made.add_typer(dlq.create(), name="dlq")
    made.add_typer(keys.create(), name="keys")
    made.add_typer(models.create(), name="models")
    made.add_typer(auditing.create(), name="audit")
    made.add_typer(secrets.create(), name="secrets")
    made.add_typer(usage.create(), name="usage")
    return made


app = create_app()
