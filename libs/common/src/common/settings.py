"""Settings: environment variables, read once, in `main`, into one frozen class a service.

A wrong or missing one stops the start with one line that says which it is and what it should be. Every field carries
one line of prose, from which `.env.example` is generated, so that the example cannot lag behind the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")

_SPAN = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?)(?P<unit>[smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Settings(BaseSettings):
    """What every service's settings have in common: frozen, from the environment alone, unknown names ignored."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False, hide_input_in_errors=True)


def _with_scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"should be a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return value

    return AfterValidator(check)


def _seconds(value: Any) -> Any:
    """`60`, `60s`, `5m`, `2h` → seconds."""
    span = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return float(span["number"]) * _UNITS[span["unit"]] if span else value


HttpUrl = Annotated[str, _with_scheme("http", "https")]
PostgresUrl = Annotated[str, _with_scheme("postgres", "postgresql")]
NatsUrl = Annotated[str, _with_scheme("nats", "tls")]
RedisUrl = Annotated[str, _with_scheme("redis", "rediss")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
"""A span: a number of seconds, or `60s`, `5m`, `2h`."""


class ServiceSettings(Settings):
    """What every service reads; each adds its own, named with its prefix."""

    nats_url: NatsUrl = Field(validation_alias="NATS_URL", description="NATS server with JetStream")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL", description="least severity of log lines that are written"
    )
    otlp_endpoint: HttpUrl | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="collector that spans are sent to"
    )
    trace_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
        description="share of calls traced, 0 to 1",
    )


class DatabaseServiceSettings(ServiceSettings):
    """What every service with a Postgres schema reads besides its own `<SERVICE>_DATABASE_URL`."""

    db_max_open_conns: int = Field(
        default=10,
        ge=2,
        le=200,
        validation_alias="DB_MAX_OPEN_CONNS",
        description="most Postgres connections a process",
    )


class SettingsError(Exception):
    """A setting is wrong or missing; the text is one line for whoever starts the service."""


def read(kind: type[S]) -> S:
    """Read a service's settings from the environment; SettingsError names the first wrong one, never its value."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = variable_of(kind, str(first["loc"][0]) if first["loc"] else "")
        if first["type"] == "missing":
            raise SettingsError(f"{name} is not set: {_prose(kind, name)}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name} is wrong: {message[:1].lower()}{message[1:]}") from None


def read_or_exit(kind: type[S]) -> S:
    """`read`, or end the process with status 2 and the one line on standard error."""
    try:
        return read(kind)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


def text_in(path: Path) -> str:
    """What stands in a file that a setting names, without the space around it. ValueError, which says nothing of what is in
    it, when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__})") from None


def variable_of(kind: type[Settings], name: str) -> str:
    """The environment variable behind a field or alias of a settings class."""
    for field, declared in kind.model_fields.items():
        alias = str(declared.validation_alias or "")
        if name in (field, alias, alias.lower()):
            return alias or f"{kind.model_config.get('env_prefix', '')}{field}".upper()
    return name.upper()


def example_of(kinds: list[type[Settings]]) -> str:
    """The text of `.env.example`: every variable once, with its prose and default, required where any class requires it."""
    lines: dict[str, str] = {}
    for kind in kinds:
        for field, declared in kind.model_fields.items():
            name = variable_of(kind, field)
            if name not in lines or (declared.is_required() and f"\n# {name}=" in lines[name]):
                lines[name] = _example_line(name, declared)
    return "\n".join(lines[name] for name in sorted(lines))


def _example_line(name: str, declared: FieldInfo) -> str:
    if declared.is_required():
        return f"# {declared.description} (required)\n{name}=\n"
    value = "" if declared.default is None else str(declared.default)
    return f"# {declared.description}\n# {name}={value}\n"


def _prose(kind: type[Settings], name: str) -> str:
    for field, declared in kind.model_fields.items():
        if variable_of(kind, field) == name:
            return declared.description or field
    return name
