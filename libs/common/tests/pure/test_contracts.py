"""Contracts: golden files are what the code says, examples are what the schemas and models say, and add up."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from common.contracts import generate
from common.contracts.envelope import Contract, Envelope, event_headers, read_event, type_of
from common.contracts.events import EVENTS, Event
from common.contracts.generate import GOLDEN, differences, main, write
from common.contracts.schemas import schema_of
from common.contracts.snapshots import KeySnapshot, ModelSnapshot
from common.contracts.topology import STREAMS
from common.contracts.usage import UsageRecorded, recorded_subject, rejected_subject
from common.ids import usage_event_id
from common.pricing import Price, cost
from common.testing.events import of_a_later_release
from common.usage import TOKEN_BUCKETS
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError

ROOT = Path(__file__).resolve().parents[4]
CASES = [pytest.param(event, name, id=f"{event.name}-{name}") for event in EVENTS for name in event.examples]
CALLS = [
    (name, example) for event in EVENTS if event.content is UsageRecorded for name, example in event.examples.items()
]


def validator(event: Event) -> Draft202012Validator:
    """What checks an event of this kind by its golden schema, as somebody without our code would."""
    schema = json.loads((ROOT / GOLDEN / event.name / "schema.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker())


def golden(event: Event, name: str) -> dict[str, Any]:
    """A committed example."""
    read: dict[str, Any] = json.loads((ROOT / GOLDEN / event.name / f"example-{name}.json").read_text())
    return read


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_schema_is_a_schema(event: Event) -> None:
    Draft202012Validator.check_schema(schema_of(event))


@pytest.mark.parametrize(("event", "name"), CASES)
def test_an_example_is_what_schema_and_model_say_and_comes_back_unchanged(event: Event, name: str) -> None:
    example = golden(event, name)
    validator(event).validate(example)
    read = event.envelope.model_validate(example)
    again = json.loads(event.envelope.model_validate_json(json.dumps(example)).model_dump_json())
    assert event.envelope.model_validate(again) == read
    validator(event).validate(again)


@pytest.mark.parametrize(("event", "name"), CASES)
def test_whoever_hears_an_event_passes_over_what_a_later_release_has_added(event: Event, name: str) -> None:
    told = event.envelope.model_validate(golden(event, name))
    later = of_a_later_release(told)
    assert read_event(event.envelope, later) == told
    with pytest.raises(ValidationError):
        event.envelope.model_validate_json(later)  # who tells it is held to what stands there


@pytest.mark.parametrize(("event", "name"), CASES)
def test_schema_and_model_refuse_the_same_wrongs(event: Event, name: str) -> None:
    example = golden(event, name)
    wrong = [
        {**example, "more": 1},
        {**example, "data": {**example["data"], "more": 1}},
        {**example, "specversion": "0.3"},
    ]
    wrong += [
        {key: value for key, value in example.items() if key != gone}
        for gone in ("id", "source", "type", "time", "data")
    ]
    for each in wrong:
        assert not validator(event).is_valid(each)
        with pytest.raises(ValidationError):
            event.envelope.model_validate(each)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_schema_takes_events_of_its_own_type_only(event: Event) -> None:
    name = next(iter(event.examples))
    assert not validator(event).is_valid({**golden(event, name), "type": type_of("something.else")})


def every_member(shape: type[Contract]) -> list[str]:
    """The members of a contract without a word of description."""
    return [name for name, field in shape.model_fields.items() if not field.description]


def test_every_member_of_every_event_is_described() -> None:
    shapes = {event.content for event in EVENTS} | {Envelope}
    for event in EVENTS:
        for name, shape in schema_of(event)["$defs"].items():
            assert [member for member, field in shape["properties"].items() if not field.get("description")] == [], name
    assert [member for shape in shapes for member in every_member(shape)] == []


def test_every_event_has_its_own_type_and_a_subject_of_its_stream() -> None:
    assert len({event.event_type for event in EVENTS}) == len(EVENTS)
    for event in EVENTS:
        assert any(event.subject.startswith(subject.removesuffix(">").rstrip(".")) for subject in event.stream.subjects)
        assert all(example["type"] == event.event_type for example in event.examples.values())


def test_no_subject_belongs_to_two_streams() -> None:
    roots = [subject.removesuffix(">") for stream in STREAMS for subject in stream.subjects]
    assert not [(a, b) for a in roots for b in roots if a != b and a.startswith(b)]


# --- what a call used and cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "example"), CALLS)
def test_a_calls_amounts_are_its_tokens_at_its_price(name: str, example: dict[str, Any]) -> None:
    call = UsageRecorded.model_validate(example["data"])
    price = Price(call.price.version, {unit: rate.usd for unit, rate in call.price.rates.items()})
    assert call.usage.total_tokens == sum(getattr(call.usage, bucket) for bucket in TOKEN_BUCKETS)
    assert call.cost_usd.usd == cost(call.usage.to_usage(), price)
    if call.attempts:
        assert sum((attempt.cost_usd.usd for attempt in call.attempts), Decimal(0)) == call.cost_usd.usd
        assert sum((attempt.unbilled_usd.usd for attempt in call.attempts), Decimal(0)) == call.operator_cost_usd.usd
        last = call.attempts[-1]
        assert (last.provider, last.model, last.error) == (call.provider_type, call.model, call.error)
    if call.decision is not None:
        assert call.decision.bound_usd >= call.cost_usd


@pytest.mark.parametrize(("name", "example"), CALLS)
def test_a_calls_event_is_named_by_its_request_and_dated_by_its_start(name: str, example: dict[str, Any]) -> None:
    call = UsageRecorded.model_validate(example["data"])
    assert example["id"] == usage_event_id(call.request_id, call.kind)
    assert example["subject"] == call.request_id
    assert call.started_at == example["time"]
    assert datetime.fromisoformat(call.started_at).strftime("%Y-%m") == call.period


def test_the_examples_show_every_end_that_a_call_has_today() -> None:
    shown = {(example["data"]["kind"], example["data"]["status"]) for _, example in CALLS}
    assert shown == {
        ("final", "completed"),
        ("final", "cancelled"),
        ("final", "failed"),
        ("final", "tracked"),
        ("estimated", "failed"),
    }


def test_subjects_name_the_provider_and_key_or_none() -> None:
    assert recorded_subject("openai", "k1") == "usage.recorded.openai.k1"
    assert recorded_subject("openai", None) == "usage.recorded.openai.none"
    assert rejected_subject("rate_limit_exceeded") == "usage.rejected.rate_limit_exceeded"


def test_the_headers_of_an_event_name_it_so_that_a_repetition_is_dropped() -> None:
    assert event_headers("e1") == {"Nats-Msg-Id": "e1", "Content-Type": "application/cloudevents+json"}
    assert event_headers("e1", "00-a-b-01")["traceparent"] == "00-a-b-01"


# --- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_of_a_later_release_is_still_read() -> None:
    key = KeySnapshot.model_validate_json('{"id": "k", "name": "n", "secrets": [], "colour": "red"}')
    assert (key.id, key.enabled, key.monthly_budget, key.rate_limit) == ("k", True, None, None)


def test_a_model_without_prices_has_none_and_a_price_keeps_its_digits() -> None:
    text = (
        '{"id": "m", "provider_type": "openai", "name": "gpt-4o", "prices": [{"version": "1", "rates": {"input_tokens":'
    )
    text += (
        '"0.123456789012"}, "starts_at": "2026-01-01T00:00:00Z", "tiers": [{"above_input_tokens": 9, "rates": {}}]}]}'
    )
    [price] = ModelSnapshot.model_validate_json(text).prices
    assert price.to_price().rates["input_tokens"] == Decimal("0.123456789012")
    assert price.to_price().tiers[0].above_input_tokens == 9


# --- the generator -----------------------------------------------------------------------------------------------------


def test_the_committed_files_are_what_is_generated() -> None:
    assert differences(ROOT) == []


def test_writing_brings_an_empty_checkout_up_to_date_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    assert len(differences(tmp_path)) == len(write(tmp_path)) > len(EVENTS)
    assert differences(tmp_path) == write(tmp_path) == []
    assert (tmp_path / "docs" / "contracts.md").read_text().startswith("# What services tell each other")
    assert "BILLING_DATABASE_URL=" in (tmp_path / ".env.example").read_text()


def test_the_check_names_what_differs_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    schema = tmp_path / GOLDEN / "usage.recorded.v1" / "schema.json"
    schema.write_text("{}")
    (tmp_path / ".env.example").unlink()
    (tmp_path / GOLDEN / "forgotten.v1").mkdir()
    (tmp_path / GOLDEN / "forgotten.v1" / "schema.json").write_text("{}")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "libs/common/contracts/usage.recorded.v1/schema.json is out of date",
        ".env.example is missing",
        "libs/common/contracts/forgotten.v1/schema.json belongs to no event",
    ]
    assert schema.read_text() == "{}"
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_a_service_without_settings_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_RUNNER", ("common.money", "MoneySettings"))
    with pytest.raises(generate.SettingsMissing, match=r"common\.money has no MoneySettings"):
        generate.settings_classes()
