"""Settings: one line that names the variable and what it should be, never what it was; and an example that cannot lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from common.settings import (
    DatabaseServiceSettings,
    HttpUrl,
    NatsUrl,
    Port,
    PostgresUrl,
    RedisUrl,
    Seconds,
    ServiceSettings,
    Settings,
    SettingsError,
    example_of,
    read,
    read_or_exit,
    variable_of,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

SENSITIVE = "hunter2-hunter2"


class Small(Settings):
    """Settings of every kind that services have."""

    url: PostgresUrl = Field(validation_alias="SMALL_DATABASE_URL", description="Postgres of small")
    port: Port = Field(default=8099, validation_alias="SMALL_HTTP_PORT", description="port of small")
    wait: Seconds = Field(default=5.0, validation_alias="SMALL_WAIT", description="longest wait")
    token: str = Field(default="x" * 32, min_length=32, validation_alias="SMALL_TOKEN", description="proof of small")
    folder: Path = Field(default=Path("journal"), validation_alias="SMALL_DIR", description="folder of small")


class Other(Settings):
    """Another service, which shares a variable and requires one more."""

    port: Port = Field(validation_alias="SMALL_HTTP_PORT", description="port of the other")
    plain: str | None = Field(default=None, description="without an alias")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_DATABASE_URL", "postgresql://small@localhost/small")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SMALL_DATABASE_URL", f"mysql://root:{SENSITIVE}@localhost/x", "should be a URL that begins with postgres://"),
        ("SMALL_DATABASE_URL", SENSITIVE, "should be a URL"),
        ("SMALL_DATABASE_URL", f"postgresql://{SENSITIVE}@[::1/x", ""),
        ("SMALL_HTTP_PORT", "99999", "less than or equal to 65535"),
        ("SMALL_HTTP_PORT", SENSITIVE, "valid integer"),
        ("SMALL_WAIT", SENSITIVE, "valid number"),
        ("SMALL_WAIT", f"²{SENSITIVE}s", "valid number"),
        ("SMALL_WAIT", "²s", "valid number"),
        ("SMALL_WAIT", "-1", "greater than 0"),
        ("SMALL_WAIT", "0s", "greater than 0"),
        ("SMALL_TOKEN", SENSITIVE, "at least 32"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        read(Small)
    line = str(caught.value)
    assert line.startswith(f"{variable} is wrong: ")
    assert says in line
    assert "\n" not in line
    assert SENSITIVE not in line
    assert "²" not in line
    assert caught.value.__cause__ is None


def test_a_missing_value_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMALL_DATABASE_URL")
    with pytest.raises(SettingsError, match=r"^SMALL_DATABASE_URL is not set: Postgres of small$"):
        read(Small)


def test_a_wrong_start_ends_with_status_2_and_that_line_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALL_HTTP_PORT", "0")
    with pytest.raises(SystemExit) as caught:
        read_or_exit(Small)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_settings_cannot_be_changed_and_ignore_what_is_not_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_SOMETHING_ELSE", "1")
    settings = read_or_exit(Small)
    assert (settings.port, settings.wait, settings.folder) == (8099, 5.0, Path("journal"))
    with pytest.raises(ValidationError):
        setattr(settings, "port", 1)  # noqa: B010 - mypy knows that it cannot be set


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("5m", 300), ("2h", 7200), ("0.5s", 0.5), ("1.5m", 90), (7, 7)]
)
def test_spans_are_numbers_of_seconds_or_carry_a_unit(text: Any, seconds: float) -> None:
    assert TypeAdapter(Seconds).validate_python(text) == seconds


@given(st.text())
def test_any_text_is_a_span_or_refused_as_a_wrong_value(text: str) -> None:
    try:
        seconds = TypeAdapter(Seconds).validate_python(text)
    except ValidationError:
        return
    assert seconds > 0


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (HttpUrl, "https://a.example/x", "ftp://a.example"),
        (PostgresUrl, "postgres://a/b", "postgresql:///b"),
        (NatsUrl, "tls://a:4222", "http://a"),
        (RedisUrl, "rediss://:p@a:6379/0", "redis://"),
    ],
)
def test_urls_are_taken_by_their_scheme_and_need_a_host(kind: Any, right: str, wrong: str) -> None:
    assert TypeAdapter(kind).validate_python(right) == right
    with pytest.raises(ValidationError, match="should be a URL that begins with"):
        TypeAdapter(kind).validate_python(wrong)


def test_the_example_names_each_variable_once_and_requires_what_anyone_requires() -> None:
    text = example_of([Small, Other])
    assert "# Postgres of small (required)\nSMALL_DATABASE_URL=\n" in text
    assert "# port of the other (required)\nSMALL_HTTP_PORT=\n" in text
    assert "# longest wait\n# SMALL_WAIT=5.0\n" in text
    assert "# without an alias\n# PLAIN=\n" in text
    assert text.count("SMALL_HTTP_PORT=") == 1
    names = [line.lstrip("# ").partition("=")[0] for line in text.splitlines() if "=" in line]
    assert names == sorted(names)


def test_every_setting_that_services_share_has_prose() -> None:
    for kind in (ServiceSettings, DatabaseServiceSettings):
        for name, declared in kind.model_fields.items():
            assert declared.description
            assert variable_of(kind, name) == declared.validation_alias
