"""Log lines: one JSON object each, an event name and fields, on standard output.

Fields are chosen where a line is written; nothing here adds bodies or headers. As a last wall, values under names that
usually hold secrets are blanked.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from common.secret import Secret

_SENSITIVE = ("authorization", "api_key", "password", "secret", "token", "cookie", "credential_value")


def configure_logs(service: str, level: str = "INFO") -> None:
    """Set up logging of this process; call once, in `main`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            blank_secrets,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)


def blank_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank what should not have been put into a line."""
    for name, value in event.items():
        if isinstance(value, Secret) or name.lower() in _SENSITIVE:
            event[name] = "***"
    return event
